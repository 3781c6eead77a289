import { ringId, sessionId } from '@deos/domain'
import type { KvIntroduce } from '@deos/protocol'
import { ringNetwork } from '@deos/transport'
import { VirtualTimers } from '@deos/transport/testing'
import { expect, test, vi } from 'vitest'
import { GuestLinks } from './guest-links.ts'

test('a worker that cannot be reached is called on for a while after its last introduction, not for ever', async () => {
  const timers = new VirtualTimers()
  const notes: string[] = []
  const guests = new GuestLinks({
    ...{ worker: 'p', network: ringNetwork(null), timers, random: { next: () => 0.5 } },
    onNote: (_, text) => notes.push(text),
    ...{ onUp: () => undefined, onMessage: () => undefined, onDown: () => undefined },
  })
  // Nobody listens there.
  const introduction: KvIntroduce = {
    ...{ type: 'kv-introduce', epoch: 0, session: sessionId('s'), peer: 'd', ring: ringId('decode') },
    ...{ address: '127.0.0.1:1', key: new Uint8Array(32) },
  }
  const retried = async (untilMs: number): Promise<void> => {
    while (timers.now() < untilMs && !/Given up/.test(notes.at(-1) ?? '')) {
      const count = notes.length
      if (count > 0 && !(await timers.advance(untilMs))) return
      await vi.waitFor(() => expect(notes.length).toBeGreaterThan(count), { interval: 1 })
    }
  }
  guests.introduce(introduction)
  await retried(60_000)
  guests.introduce(introduction)
  await retried(150_000)
  expect(notes.at(-1)).toContain('Again in')
  await retried(300_000)
  expect(notes.at(-1)).toMatch(
    /Guest link to d: .*ECONNREFUSED.* Given up 1\d\d s after its last introduction\./,
  )
  expect(timers.now()).toBeLessThan(190_000)
  const said = notes.length
  await timers.runUntil(3_600_000)
  expect(notes).toHaveLength(said)
  await guests.stop()
})
