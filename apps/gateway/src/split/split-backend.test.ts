import { expect, test } from 'vitest'
import type { GenerateEvent, GenerateRequest } from '../inference/backend.ts'
import { InterruptedError, NotReadyError } from '../inference/errors.ts'
import { type Script, ScriptedBackend, sampled } from '../testing/scripted-backend.ts'
import { promise, ScriptedSplitRing, splitRequest } from '../testing/scripted-split-ring.ts'
import { KvQuality } from './kv-quality.ts'
import { SplitAdvisor } from './split-advisor.ts'
import { SplitBackend } from './split-backend.ts'
import type { SplitMode } from './split-modes.ts'

const event = (token: number, finish: GenerateEvent['finish'] = null): GenerateEvent => ({
  ...{ sampled: sampled(token, null), finish, cachedTokens: 0 },
})

/** Tokens counted on from what was delivered, up to the limit. */
const counting: Script = async function* ({ maxTokens, delivered = [] }) {
  for (let at = delivered.length; at < maxTokens; at++)
    yield event(at, at === maxTokens - 1 ? 'length' : null)
}

/** One token, and then the ring is gone. */
const breaking: Script = async function* () {
  yield event(0)
  throw new InterruptedError('the ring is gone')
}

function split(
  scripts: { readonly prefill?: Script; readonly decode?: Script } = {},
  mode: SplitMode = 'always',
  { deadlineMs = 60_000, now = (): number => 0 } = {},
) {
  const prefillRing = new ScriptedSplitRing('strong', [['p0', 0, 4]])
  const decodeRing = new ScriptedSplitRing('cheap', [['d0', 0, 4]])
  decodeRing.onTold = (_, message) => promise(message, 8)
  const prefill = new ScriptedBackend(scripts.prefill ?? counting)
  const decode = new ScriptedBackend(scripts.decode ?? counting)
  const notes: string[] = []
  const advisor = new SplitAdvisor(mode, 4)
  const backend = new SplitBackend({
    prefill: { ...sides(prefillRing), backend: prefill },
    exact: prefill,
    decode: { ...sides(decodeRing), backend: decode },
    advisor,
    settings: {
      blockTokens: 4,
      maxBlockBytes: 1_024,
      deadlineMs,
      answerMs: 60_000,
      enhanceMs: 60_000,
    },
    quality: new KvQuality({
      ...{ mode: 'lossless', calibration: null, budgetMs: 0, bytesPerSecond: null, enhanceMs: 0 },
    }),
    now,
    onNote: (_, text) => notes.push(text),
  })
  return { backend, advisor, prefillRing, decodeRing, prefill, decode, notes }
}

const sides = ({ ring, connection, links }: ScriptedSplitRing) => ({ ring, connection, links })

async function tokens(
  backend: SplitBackend,
  request: GenerateRequest = splitRequest,
  signal = new AbortController().signal,
): Promise<readonly number[]> {
  const found: number[] = []
  for await (const { sampled: one } of backend.generate(request, signal)) found.push(one.token)
  return found
}

const counters = (backend: SplitBackend) => backend.status().details.split

test('a prompt is handed over, and the decode ring answers', async () => {
  const { backend, prefillRing, decodeRing, prefill } = split()
  const answer = tokens(backend)
  await Promise.resolve()
  decodeRing.givePages(0, 8)
  expect(await answer).toEqual([0, 1, 2, 3])
  expect(decodeRing.ended).toEqual([8])
  expect(prefillRing.asked).toEqual(['prompt r.kv 8 0', 'cancel r.kv'])
  expect(prefill.requests).toEqual([])
  expect(counters(backend)).toMatchObject({ handed_over: 1, tokens: 8, partly: 0, failed: 0 })
})

test('hand-overs of which nothing came in time are no reason for more of them', async () => {
  let clockMs = 0
  const now = (): number => {
    clockMs += 1_000
    return clockMs
  }
  const { backend, advisor, decodeRing } = split({}, 'auto', { deadlineMs: 1, now })
  for (const count of [9, 18]) advisor.computedHere(count, 2 * count)
  // Senders do not get through to the stages, which have nothing when they are asked for what is there.
  decodeRing.onTold = (_, message) =>
    message.type === 'kv-commit' && message.partial ? promise(message, 0) : null
  for (let count = 0; count < 2; count++) {
    const answer = tokens(backend)
    await Promise.resolve()
    decodeRing.givePages(0, 8)
    expect(await answer).toEqual([0, 1, 2, 3])
  }
  expect(counters(backend)).toMatchObject({ handed_over: 2 })
  expect(advisor.choose(9)).toMatchObject({ split: false })
  expect(advisor.choose(10_000)).toMatchObject({ split: false })
})

test('without pages, or without the prefill ring, the decode ring computes the prompt', async () => {
  const { backend, prefillRing, decodeRing } = split()
  const answer = tokens(backend)
  await Promise.resolve()
  decodeRing.refusePages('no page is free')
  expect(await answer).toEqual([0, 1, 2, 3])
  expect(counters(backend)).toMatchObject({ handed_over: 0, failed: 1 })
  prefillRing.ready = false
  expect(await tokens(backend)).toEqual([0, 1, 2, 3])
  expect(decodeRing.asked).toEqual(['import r.kv 9'])
})

test('what is shorter than a block, was begun elsewhere, or may not be split is not', async () => {
  const short = { ...splitRequest, tokens: splitRequest.tokens.slice(0, 3) }
  const { backend, decodeRing } = split()
  await tokens(backend, short)
  expect(await tokens(backend, { ...splitRequest, delivered: [0, 1] })).toEqual([2, 3])
  const never = split({}, 'never')
  await tokens(never.backend)
  expect([...decodeRing.asked, ...never.decodeRing.asked]).toEqual([])
})

test('a decode ring that is lost amid the answer: the prefill ring goes on behind what was delivered', async () => {
  const { backend, decodeRing, prefill } = split({ decode: breaking })
  const answer = tokens(backend)
  await Promise.resolve()
  decodeRing.givePages(0, 8)
  expect(await answer).toEqual([0, 1, 2, 3])
  expect(prefill.requests).toMatchObject([{ id: 'r.p', delivered: [0] }])
  expect(counters(backend)).toMatchObject({ taken_back: 1 })
})

test('a decode ring that lacks a stage is not waited for', async () => {
  const never: Script = async function* (_, signal) {
    yield* []
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
  const { backend, decodeRing } = split({ decode: never }, 'never')
  const answer = tokens(backend)
  await Promise.resolve()
  decodeRing.ready = false
  expect(await answer).toEqual([0, 1, 2, 3])
  expect(counters(backend)).toMatchObject({ taken_back: 1 })
})

test('if neither ring is there the reason is told, and a request that is over is not taken back', async () => {
  const gone: Script = async function* () {
    yield* []
    throw new NotReadyError('The decode ring is not there.', 1_000)
  }
  const both = split({ decode: gone, prefill: gone }, 'never')
  await expect(tokens(both.backend)).rejects.toThrow(NotReadyError)
  const over = new AbortController()
  const cut: Script = async function* () {
    yield event(0)
    over.abort(new Error('the client left'))
    throw new InterruptedError('aborted')
  }
  const { backend, prefill } = split({ decode: cut }, 'never')
  await expect(tokens(backend, splitRequest, over.signal)).rejects.toThrow('aborted')
  expect(prefill.requests).toEqual([])
})

test('a client that leaves while its prompt is handed over frees what both rings hold', async () => {
  const { backend, prefillRing, decodeRing } = split()
  decodeRing.onTold = () => null
  const client = new AbortController()
  const answer = tokens(backend, splitRequest, client.signal)
  await Promise.resolve()
  decodeRing.givePages(0, 8)
  client.abort(new Error('the client left'))
  await expect(answer).rejects.toThrow('the client left')
  expect(prefillRing.asked.at(-1)).toBe('cancel r.kv')
  expect(decodeRing.ended).toEqual([null])
})
