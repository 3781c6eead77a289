import { defaultLeaderOptions } from '@deos/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { RingRun } from './ring-run.ts'
import { simulateRing } from './simulate-ring.ts'

const stepMs = 10
const hopMs = 0.25
const link = { oneWayMs: hopMs, bytesPerMs: 0 }
const capacity = { kvPages: 512, pageTokens: 8, contextLength: 128, maxBatchTokens: 64 }

/** Stages on which every step takes the same time, whatever is in it. */
const flat = (ms: number) => ({
  timing: {
    decode: [[1, ms] as const, [64, ms] as const],
    prompt: [[1, ms] as const, [64, ms] as const],
    contextMs: 0,
    promptContextMs: 0,
    decodeContext: 0,
    hostMs: 0,
  },
  link,
})

const ring = (stages: number, requests: RingRun['requests'], changes: Partial<RingRun> = {}): RingRun => ({
  stages: Array.from({ length: stages }, () => flat(stepMs)),
  gateway: { toLeader: link, fromTail: link },
  hiddenSize: 1,
  capacity,
  leader: { ...defaultLeaderOptions, microbatches: stages },
  requests,
  clients: null,
  ...changes,
})

const alike = (count: number, outputTokens: number) =>
  Array.from({ length: count }, () => ({ atMs: 0, promptTokens: 2, outputTokens }))

test('a session alone takes one way around the ring for each token', () => {
  const { answers } = simulateRing(ring(4, alike(1, 10)))
  const { tokensMs } = answers[0]!
  const around = 4 * (stepMs + hopMs)
  expect(tokensMs).toHaveLength(10)
  for (const [index, atMs] of tokensMs.entries()) {
    if (index > 0) expect(atMs - tokensMs[index - 1]!).toBeCloseTo(around, 6)
  }
})

test('16 sessions keep four stages busy', () => {
  const { answers, busyMs, endMs } = simulateRing(ring(4, alike(16, 40)))
  const lastMs = Math.max(...answers.map(({ tokensMs }) => tokensMs.at(-1)!))
  expect(lastMs).toBeLessThan(4 * (stepMs + hopMs) * 40 * 1.15)
  for (const each of busyMs) expect(each / endMs).toBeGreaterThan(0.85)
})

test('clients ask again when they are answered, and never more than they are', () => {
  const { answers } = simulateRing(ring(2, alike(9, 5), { clients: 3 }))
  for (const { sentMs } of answers) {
    const open = answers.filter((each) => each.sentMs <= sentMs && each.tokensMs.at(-1)! > sentMs)
    expect(open.length).toBeLessThanOrEqual(3)
  }
  expect(answers.filter(({ sentMs }) => sentMs === 0)).toHaveLength(3)
})

test('hidden states take their time on a slow link, tokens do not', () => {
  const slow = { oneWayMs: 0, bytesPerMs: 1 }
  const one = ring(2, [{ atMs: 0, promptTokens: 16, outputTokens: 2 }], { hiddenSize: 4 })
  const fast = simulateRing(one).answers[0]!.tokensMs
  const slowed = simulateRing({
    ...one,
    stages: one.stages.map((stage, index) => (index === 0 ? { ...stage, link: slow } : stage)),
  }).answers[0]!.tokensMs
  expect(slowed[0]! - fast[0]!).toBeCloseTo(16 * 4 * 4 - hopMs, 6)
  expect(slowed[1]! - slowed[0]!).toBeCloseTo(fast[1]! - fast[0]! + 4 * 4 - hopMs, 6)
})

test('every request gets all its tokens, in order, and the same run the same times', () => {
  const requests = fc.array(
    fc.record({
      atMs: fc.integer({ min: 0, max: 2000 }),
      promptTokens: fc.integer({ min: 1, max: 60 }),
      outputTokens: fc.integer({ min: 1, max: 20 }),
    }),
    { minLength: 1, maxLength: 12 },
  )
  fc.assert(
    fc.property(requests, fc.integer({ min: 1, max: 4 }), (asked, stages) => {
      const run = ring(stages, asked)
      const result = simulateRing(run)
      for (const [index, { sentMs, tokensMs }] of result.answers.entries()) {
        expect(sentMs).toBeCloseTo(asked[index]!.atMs, 6)
        expect(tokensMs).toHaveLength(asked[index]!.outputTokens)
        expect(tokensMs[0]).toBeGreaterThan(sentMs)
        expect([...tokensMs].sort((a, b) => a - b)).toEqual(tokensMs)
      }
      expect(simulateRing(run)).toEqual(result)
    }),
    { numRuns: 30 },
  )
})

test('what the ring would refuse is named', () => {
  expect(() => simulateRing(ring(1, [{ atMs: 0, promptTokens: 500, outputTokens: 1 }]))).toThrow(
    /requests\[0\]/,
  )
  expect(() => simulateRing(ring(0, alike(1, 1)))).toThrow(/stages/)
  expect(() => simulateRing(ring(1, []))).toThrow(/requests/)
})

test('what a ring learned from earlier loads counts, and their requests do not', () => {
  // A prompt that is divided, beside sessions that decode.
  const requests = [...alike(4, 60), { atMs: 200, promptTokens: 60, outputTokens: 4 }]
  const untaught = simulateRing(ring(2, requests))
  const load = { requests, clients: null }
  const taught = simulateRing(ring(2, requests, { earlier: [load, load] }))
  expect(taught.answers).toHaveLength(requests.length)
  for (const [index, { sentMs, tokensMs }] of taught.answers.entries()) {
    expect(sentMs).toBeCloseTo(requests[index]!.atMs, 6)
    expect(tokensMs).toHaveLength(requests[index]!.outputTokens)
  }
  // Steps take the same whatever is in them, which the ring knows by then: it divides the prompt into fewer pieces.
  expect(taught.answers[4]!.tokensMs[0]!).toBeLessThan(untaught.answers[4]!.tokensMs[0]!)
})

test('earlier loads are checked as well', () => {
  const earlier = [{ requests: [], clients: null }]
  expect(() => simulateRing(ring(1, alike(1, 1), { earlier }))).toThrow(/earlier\[0\]\.requests/)
  expect(() => simulateRing(ring(1, alike(1, 1), { clients: 0 }))).toThrow(/clients/)
})
