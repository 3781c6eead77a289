import { sessionId } from '@deos/domain'
import { expect, test, vi } from 'vitest'
import { handoverSession, promise, ScriptedSplitRing, splitRequest } from '../testing/scripted-split-ring.ts'
import { Handover, type HandoverResult, type Refinement } from './handover.ts'

const settings = {
  blockTokens: 4,
  maxBlockBytes: 1_024,
  deadlineMs: 60_000,
  answerMs: 60_000,
  enhanceMs: 60_000,
}

function rings(lossy: { readonly enhanceTo: number | null } | null = null) {
  const prefill = new ScriptedSplitRing('strong', [
    ['p0', 0, 3],
    ['p1', 3, 4],
  ])
  const decode = new ScriptedSplitRing('cheap', [
    ['d0', 0, 2],
    ['d1', 2, 4],
  ])
  const refinements: Refinement[] = []
  const coding = {
    ...{
      levels: lossy === null ? [0, 0, 0, 0] : [3, 3, 0, 3],
      calibration: null,
      scope: splitRequest.tenant,
    },
    ...{ enhanceTo: lossy?.enhanceTo ?? null, onPrefill: () => undefined },
    onRefined: (refinement: Refinement) => void refinements.push(refinement),
  }
  const handover = new Handover(splitRequest, prefill, decode, settings, (missing) => missing >= 4, coding, 0)
  return { prefill, decode, handover, refinements }
}

/** The decode ring has begun over what came with loss, 100 bytes at each of its stages. */
async function refining() {
  const all = rings({ enhanceTo: 1 })
  const { prefill, decode, handover } = all
  const result = handover.run()
  decode.givePages(0, 8)
  const commits = () =>
    decode.told.flatMap(({ peer, message }) => (message.type === 'kv-commit' ? [{ peer, message }] : []))
  for (const { peer, message } of commits()) decode.say(peer, promise(message, 8, 100)!)
  expect((await result).bytes).toBe(200)
  prefill.onTold = (_, message) => (message.type === 'kv-committed' ? message : null)
  handover.started()
  await vi.waitFor(() => expect(commits()).toHaveLength(4))
  const asked = commits().slice(2)
  expect(asked.map(({ message }) => message.levels)).toEqual([
    [1, 1],
    [0, 1],
  ])
  return { ...all, asked }
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

test('what came with loss is refined after the start: both rings keep their pages for it, and let go at its end', async () => {
  const { prefill, decode, refinements, asked } = await refining()
  expect(decode.asked).toContain('keep')
  expect(prefill.asked.at(-1)).toBe('spare r.kv')
  expect(decode.ended).toEqual([8])
  const came = (peer: string, bytes: number, partial: boolean) => {
    const { message } = asked.find((one) => one.peer === peer)!
    decode.say(peer, promise({ ...message, partial }, 8, bytes)!)
  }
  came('d0', 130, true)
  expect(refinements.at(-1)).toMatchObject({ level: 1, bytes: 30, endedMs: null, complete: false })
  came('d0', 150, false)
  came('d1', 160, false)
  expect(refinements.at(-1)).toMatchObject({ bytes: 110, complete: true, endedMs: expect.any(Number) })
  expect(prefill.asked.at(-1)).toBe('cancel r.kv')
  expect(decode.ended).toEqual([8, null])
})

test('the end of the request ends better copies, and what still came is counted', async () => {
  const { prefill, decode, refinements, handover } = await refining()
  handover.end()
  expect(refinements.at(-1)).toMatchObject({
    bytes: 0,
    complete: false,
    reason: expect.stringMatching(/over/),
  })
  expect(prefill.asked.at(-1)).toBe('cancel r.kv')
  expect(decode.ended).toEqual([8, null])
  const told = decode.told.findLast(({ message }) => message.type === 'kv-abort')!
  decode.say(told.peer, { ...told.message, type: 'kv-abort', outcome: 'drop', reason: '', bytes: 170 })
  expect(refinements.at(-1)).toMatchObject({ bytes: 70, complete: false })
})

test('a prompt whose room is wanted in the prefill ring ends them, too', async () => {
  const { prefill, decode, refinements } = await refining()
  prefill.failPrompt('others needed the room')
  expect(refinements).toMatchObject([{ complete: false, reason: expect.stringMatching(/let go/) }])
  expect(decode.ended).toEqual([8, null])
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
    coarsest: 0,
    bytes: 0,
  } as const
  for (const peer of ['d0', 'd1']) decode.say(peer, { ...other, session: sessionId('another') })
  expect(decode.ended).toEqual([])
  for (const peer of ['d0', 'd1']) decode.say(peer, other)
  expect(decode.ended).toEqual([8])
  handover.end()
})
