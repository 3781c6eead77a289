import { sessionId } from '@deos/domain'
import { expect, test, vi } from 'vitest'
import { handoverSession, promise, ScriptedSplitRing, splitRequest } from '../testing/scripted-split-ring.ts'
import { Handover, type HandoverResult } from './handover.ts'

const settings = { blockTokens: 4, maxBlockBytes: 1_024, deadlineMs: 60_000, answerMs: 60_000 }

function rings() {
  const prefill = new ScriptedSplitRing('strong', [
    ['p0', 0, 3],
    ['p1', 3, 4],
  ])
  const decode = new ScriptedSplitRing('cheap', [
    ['d0', 0, 2],
    ['d1', 2, 4],
  ])
  const coding = {
    ...{ levels: [0, 0, 0, 0], calibration: null, scope: splitRequest.tenant },
    onPrefill: () => undefined,
  }
  const handover = new Handover(splitRequest, prefill, decode, settings, (missing) => missing >= 4, coding, 0)
  return { prefill, decode, handover }
}

const outcome = async (result: Promise<HandoverResult>) => {
  const { position, cachedTokens, reason } = await result
  return { position, cachedTokens, reason }
}

test('both rings are told their parts, and the decode ring begins when all of its stages promised', async () => {
  const { prefill, decode, handover } = rings()
  const result = outcome(handover.run())
  expect(decode.asked).toEqual(['import r.kv 9'])
  decode.givePages(0, 8)
  expect(prefill.asked).toEqual(['prompt r.kv 8 0'])
  // Who sends what to whom: stages are cut elsewhere in the two rings.
  expect(
    prefill.plans().map(({ routes }) => routes.map(({ peer, layers }) => [peer, layers.first, layers.end])),
  ).toEqual([
    [
      ['d0', 0, 2],
      ['d1', 2, 3],
    ],
    [['d1', 3, 4]],
  ])
  const introduced = prefill.told.flatMap(({ peer, message }) =>
    message.type === 'kv-introduce' ? [`${peer} ${message.peer}`] : [],
  )
  expect(introduced).toEqual(['p0 d0', 'p0 d1', 'p1 d1'])
  expect(decode.plans()).toHaveLength(2)
  const [commit] = decode.told.flatMap(({ message }) => (message.type === 'kv-commit' ? [message] : []))
  decode.say('d0', promise(commit!, 8)!)
  expect(decode.ended).toEqual([])
  decode.say('d1', promise(commit!, 8)!)
  expect(await result).toEqual({ position: 8, cachedTokens: 0, reason: '' })
  expect(decode.ended).toEqual([8])
  // Until the decode ring has it, senders keep everything.
  const released = () => prefill.told.filter(({ message }) => message.type === 'kv-committed')
  expect(released()).toEqual([])
  handover.started()
  expect(released()).toHaveLength(2)
  handover.end()
  expect(prefill.asked.at(-1)).toBe('cancel r.kv')
})

test('what is too short to be worth it is left to the decode ring, and its pages go', async () => {
  const { prefill, decode, handover } = rings()
  const result = outcome(handover.run())
  decode.givePages(5, 8)
  expect(await result).toMatchObject({ position: null, reason: expect.stringContaining('only 3') })
  expect(decode.ended).toEqual([null])
  expect(prefill.told).toEqual([])
})

test('without pages nothing begins', async () => {
  const { prefill, decode, handover } = rings()
  const result = outcome(handover.run())
  decode.refusePages('no page is free')
  expect(await result).toMatchObject({ position: null, reason: 'no page is free' })
  expect(prefill.asked).toEqual([])
})

test('a prefill ring that fails leaves what came: stages are asked how far it reaches', async () => {
  const { prefill, decode, handover } = rings()
  const result = outcome(handover.run())
  decode.givePages(0, 8)
  decode.onTold = (peer, message) =>
    message.type === 'kv-commit' && message.partial ? promise(message, peer === 'd0' ? 8 : 4) : null
  prefill.failPrompt('a stage is gone')
  expect(await result).toEqual({ position: 4, cachedTokens: 0, reason: 'a stage is gone' })
  expect(decode.ended).toEqual([4])
  handover.end()
})

test('pages that are lost amid it end it, and the request goes on without', async () => {
  const { prefill, decode, handover } = rings()
  const result = outcome(handover.run())
  decode.givePages(0, 8)
  decode.refusePages('the pages were needed')
  expect(await result).toMatchObject({ position: null })
  handover.end()
  expect(prefill.asked.at(-1)).toBe('cancel r.kv')
})

test('a request that ends frees pages and ears, whatever is still under way', async () => {
  const { prefill, decode, handover } = rings()
  const result = outcome(handover.run())
  decode.givePages(0, 8)
  for (const ring of [prefill, decode]) {
    ring.onTold = (_, message) => (message.type === 'kv-abort' ? message : null)
  }
  handover.end()
  expect(await result).toMatchObject({ position: null })
  expect(decode.ended).toEqual([null])
  expect(prefill.asked).toContain('cancel r.kv')
  await vi.waitFor(() => expect([prefill.listeners, decode.listeners]).toEqual([0, 0]))
})

test('what is said of other sessions is not heard', async () => {
  const { decode, handover } = rings()
  void handover.run()
  decode.givePages(0, 8)
  const other = {
    type: 'kv-committed',
    epoch: 1,
    session: handoverSession,
    position: 8,
    partial: false,
    bytes: 0,
  } as const
  for (const peer of ['d0', 'd1']) decode.say(peer, { ...other, session: sessionId('another') })
  expect(decode.ended).toEqual([])
  for (const peer of ['d0', 'd1']) decode.say(peer, other)
  expect(decode.ended).toEqual([8])
  handover.end()
})
