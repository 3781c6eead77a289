import { defaultSampling, sessionId } from '@deos/domain'
import { describe, expect, test } from 'vitest'
import { type Message, plainNeeds, type RejectCode } from '../messages.ts'
import { idleUsage } from '../testing/idle-usage.ts'
import { RingClient } from './ring-client.ts'
import type { ClientRequest, RingClientEffect, RingClientEvent } from './ring-client-events.ts'

const request = (id: string, overrides: Partial<ClientRequest> = {}): ClientRequest => ({
  id,
  tokens: Int32Array.of(1, 2),
  maxTokens: 10,
  stopTokens: [],
  sampling: defaultSampling,
  deadlineMs: 0,
  tenant: 't',
  priority: 0,
  needs: plainNeeds,
  pooling: null,
  ...overrides,
})

class Bench {
  nowMs = 0
  readonly client = new RingClient({ resumePatienceMs: 5_000 })

  feed(event: RingClientEvent): readonly RingClientEffect[] {
    return this.client.onEvent(event, this.nowMs).filter((effect) => effect.type !== 'status')
  }

  link(link: 'leader' | 'tail', message: Message): readonly RingClientEffect[] {
    return this.feed({ type: 'message', link, message })
  }

  status(ready: boolean): readonly RingClientEffect[] {
    const status = { epoch: 1, reports: [], active: 0, queued: 0, usage: idleUsage }
    return this.link('leader', { type: 'status', ready, ...status })
  }

  connect(): this {
    this.feed({ type: 'connected', link: 'leader' })
    this.feed({ type: 'connected', link: 'tail' })
    this.status(true)
    return this
  }

  token(
    session: string,
    index: number,
    token: number,
    finish: 'stop' | null = null,
  ): readonly RingClientEffect[] {
    const sampled = { token, logprobs: null }
    return this.link('tail', {
      type: 'token',
      session: sessionId(session),
      index,
      sampled,
      finish,
      times: [{ waitUs: 1, computeUs: 900, linkUs: 2 }],
      cachedTokens: 0,
    })
  }

  failed(session: string): readonly RingClientEffect[] {
    return this.link('leader', {
      type: 'failed',
      session: sessionId(session),
      code: 'ring_fault',
      message: 'oops',
    })
  }

  rejected(session: string, code: RejectCode, retryAfterMs = 100): readonly RingClientEffect[] {
    return this.link('leader', {
      type: 'rejected',
      session: sessionId(session),
      code,
      message: 'no',
      retryAfterMs,
    })
  }

  tick(afterMs: number): readonly RingClientEffect[] {
    this.nowMs += afterMs
    return this.feed({ type: 'tick' })
  }
}

const resent = (effects: readonly RingClientEffect[]) =>
  effects.flatMap((effect) =>
    effect.type === 'send-leader' && effect.message.type === 'open-request'
      ? [
          {
            session: effect.message.session,
            tokens: [...effect.message.tokens],
            resumed: effect.message.resumed,
          },
        ]
      : [],
  )

describe('RingClient', () => {
  test('opens at the leader, reads from the tail, ends with the last token', () => {
    const bench = new Bench().connect()
    expect(resent(bench.feed({ type: 'open', request: request('a') }))).toEqual([
      { session: 'a', tokens: [1, 2], resumed: 0 },
    ])
    expect(bench.token('a', 0, 7)).toMatchObject([{ type: 'token', id: 'a', index: 0 }])
    expect(bench.token('a', 1, 8, 'stop')).toMatchObject([{ type: 'token', index: 1, finish: 'stop' }])
    expect(bench.client.open).toBe(0)
    expect(bench.failed('a')).toEqual([])
  })

  test('is ready only with both links and a ready leader', () => {
    const bench = new Bench()
    bench.feed({ type: 'connected', link: 'leader' })
    bench.status(true)
    expect(bench.client.ready).toBe(false)
    expect(bench.feed({ type: 'open', request: request('a') })).toMatchObject([
      { type: 'rejected', code: 'not_ready' },
    ])
    bench.feed({ type: 'connected', link: 'tail' })
    expect(bench.client.ready).toBe(true)
    bench.status(false)
    expect(bench.client.ready).toBe(false)
  })

  test('continues after a ring fault with all it has, under a fresh id, and ignores the old attempt', () => {
    const bench = new Bench().connect()
    bench.feed({ type: 'open', request: request('a') })
    bench.token('a', 0, 7)
    bench.status(false)
    expect(bench.failed('a')).toMatchObject([{ type: 'interrupted', id: 'a' }])
    expect(bench.token('a', 1, 8)).toEqual([])
    expect(resent(bench.status(true))).toEqual([{ session: 'a#2', tokens: [1, 2, 7], resumed: 1 }])
    expect(bench.token('a#2', 1, 9)).toMatchObject([
      { type: 'token', id: 'a', index: 1, sampled: { token: 9 } },
    ])
  })

  test.each(['leader', 'tail'] as const)('continues when the link to the %s comes back', (link) => {
    const bench = new Bench().connect()
    bench.feed({ type: 'open', request: request('a') })
    bench.token('a', 0, 7)
    const lost = bench.feed({ type: 'lost', link, reason: 'reset' })
    const cancels = lost.filter((effect) => effect.type === 'send-leader')
    expect(cancels).toHaveLength(link === 'tail' ? 1 : 0)
    const back = [...bench.feed({ type: 'connected', link }), ...bench.status(true)]
    expect(resent(back)).toEqual([{ session: 'a#2', tokens: [1, 2, 7], resumed: 1 }])
  })

  test('a missing token is fetched again rather than skipped', () => {
    const bench = new Bench().connect()
    bench.feed({ type: 'open', request: request('a') })
    bench.token('a', 0, 7)
    const effects = bench.token('a', 2, 9)
    expect(effects.map((effect) => effect.type)).toEqual(['send-leader', 'interrupted', 'send-leader'])
    expect(resent(effects)).toEqual([{ session: 'a#2', tokens: [1, 2, 7], resumed: 1 }])
    expect(bench.token('a#2', 0, 7)).toEqual([])
  })

  test('a first rejection is the answer; a later one is waited out', () => {
    const bench = new Bench().connect()
    bench.feed({ type: 'open', request: request('a') })
    expect(bench.rejected('a', 'queue_full')).toMatchObject([{ type: 'rejected', retryAfterMs: 100 }])
    bench.feed({ type: 'open', request: request('b') })
    bench.token('b', 0, 7)
    bench.failed('b')
    expect(bench.rejected('b#2', 'queue_full')).toEqual([])
    expect(bench.tick(99)).toEqual([])
    expect(resent(bench.tick(1))).toMatchObject([{ session: 'b#3' }])
    expect(bench.rejected('b#3', 'draining')).toMatchObject([{ type: 'failed', code: 'unavailable' }])
    expect(bench.client.open).toBe(0)
  })

  test('patience ends, and so do deadlines, even when nobody answers', () => {
    const bench = new Bench().connect()
    bench.feed({ type: 'open', request: request('a') })
    bench.feed({ type: 'open', request: request('b', { deadlineMs: 1_000 }) })
    bench.feed({ type: 'lost', link: 'leader', reason: 'reset' })
    expect(bench.tick(1_000)).toMatchObject([{ type: 'failed', id: 'b', code: 'deadline' }])
    expect(bench.tick(4_001)).toMatchObject([{ type: 'failed', id: 'a', code: 'unavailable' }])
    bench.connect()
    bench.feed({ type: 'open', request: request('c', { deadlineMs: 1_000 }) })
    expect(bench.tick(1_500)).toEqual([])
    expect(bench.tick(1_500).at(-1)).toMatchObject({ type: 'failed', id: 'c', code: 'deadline' })
  })

  test('a request that stops the ring each time is given up; one that gets on is not', () => {
    const bench = new Bench().connect()
    bench.feed({ type: 'open', request: request('poison') })
    for (let attempt = 1; attempt < 8; attempt++) {
      const id = attempt === 1 ? 'poison' : `poison#${attempt}`
      expect(bench.failed(id)[0]).toMatchObject({ type: 'interrupted' })
    }
    expect(bench.failed('poison#8')).toMatchObject([{ type: 'failed', id: 'poison', code: 'unavailable' }])
    bench.feed({ type: 'open', request: request('slow') })
    for (let attempt = 1; attempt < 20; attempt++) {
      const id = attempt === 1 ? 'slow' : `slow#${attempt}`
      bench.token(id, attempt - 1, 5)
      expect(bench.failed(id)[0]).toMatchObject({ type: 'interrupted' })
    }
  })

  test('continues what another ring began, and a refusal of that is a refusal', () => {
    const bench = new Bench().connect()
    const moved = request('moved', { delivered: [7, 8] })
    expect(resent(bench.feed({ type: 'open', request: moved }))).toEqual([
      { session: 'moved', tokens: [1, 2, 7, 8], resumed: 2 },
    ])
    expect(bench.token('moved', 1, 8)).toEqual([])
    expect(bench.token('moved', 2, 9)).toMatchObject([{ type: 'token', id: 'moved', index: 2 }])
    expect(resent(bench.failed('moved'))).toEqual([
      { session: 'moved#2', tokens: [1, 2, 7, 8, 9], resumed: 3 },
    ])
    bench.feed({ type: 'open', request: request('full', { delivered: [7] }) })
    expect(bench.rejected('full', 'queue_full')).toMatchObject([
      { type: 'rejected', id: 'full', code: 'queue_full' },
    ])
  })

  test('a cancel is told to the leader and answered at once, and only once', () => {
    const bench = new Bench().connect()
    bench.feed({ type: 'open', request: request('a') })
    expect(bench.feed({ type: 'cancel', id: 'a' })).toMatchObject([
      { type: 'send-leader', message: { type: 'cancel-request', session: 'a' } },
      { type: 'failed', id: 'a', code: 'cancelled' },
    ])
    expect(bench.feed({ type: 'cancel', id: 'a' })).toEqual([])
    expect(bench.token('a', 0, 7)).toEqual([])
  })

  test('a prompt that nobody waits for is not begun again', () => {
    const bench = new Bench().connect()
    bench.feed({ type: 'open', request: request('p', { maxTokens: 0 }) })
    expect(bench.feed({ type: 'spare', id: 'p' })).toEqual([
      { type: 'send-leader', message: { type: 'spare-request', session: 'p' } },
    ])
    expect(bench.failed('p')).toMatchObject([{ type: 'failed', id: 'p', code: 'cancelled' }])
    expect(bench.feed({ type: 'spare', id: 'p' })).toEqual([])
  })

  test('what is kept of an import is ended once, and lost without a word', () => {
    const bench = new Bench().connect()
    const imported = (id: string) => {
      const tokens = Int32Array.of(1, 2, 3)
      bench.feed({ type: 'import', request: { id, tokens, tenant: 't', adapter: null, deadlineMs: 0 } })
      return bench.feed({ type: 'import-commit', id, position: 2, keep: true })
    }
    expect(imported('i')).toEqual([
      { type: 'send-leader', message: { type: 'import-commit', session: 'i', position: 2, keep: true } },
    ])
    expect(bench.feed({ type: 'import-cancel', id: 'i' })).toEqual([
      { type: 'send-leader', message: { type: 'cancel-request', session: 'i' } },
    ])
    expect(bench.feed({ type: 'import-cancel', id: 'i' })).toEqual([])
    imported('j')
    expect(bench.failed('j')).toEqual([])
    expect(bench.feed({ type: 'import-cancel', id: 'j' })).toEqual([])
  })

  test('a duplicate id is refused without touching the first', () => {
    const bench = new Bench().connect()
    bench.feed({ type: 'open', request: request('a') })
    expect(bench.feed({ type: 'open', request: request('a') })).toMatchObject([
      { type: 'rejected', code: 'invalid' },
    ])
    expect(bench.token('a', 0, 7)).toMatchObject([{ type: 'token' }])
  })

  test('a ring that speaks the language of stages is cut off', () => {
    const bench = new Bench().connect()
    expect(bench.link('tail', { type: 'close', epoch: 1, key: 1 })).toMatchObject([
      { type: 'close-link', link: 'tail' },
    ])
  })
})
