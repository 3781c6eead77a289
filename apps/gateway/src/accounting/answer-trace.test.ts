import { expect, test } from 'vitest'
import { AnswerTrace } from './answer-trace.ts'

const sums = (computeUs: number, steps: number) => [{ waitUs: steps, computeUs, linkUs: 5 * steps }]
const times = (computeUs: number) => sums(computeUs, 1)

test('follows an answer through an interruption', () => {
  const trace = new AnswerTrace(Int32Array.of(1, 2, 3))
  expect(trace.tokenMs).toBeNull()
  trace.sent('replica-a', ['machine-1'], 10)
  trace.token(2, times(900), 30)
  trace.token(2, times(90), 35)
  trace.token(2, times(80), 38)
  trace.interrupted(40)
  trace.interrupted(45)
  trace.sent('replica-b', ['machine-2'], 50)
  trace.token(3, times(800), 60)
  trace.token(3, times(70), 70)
  expect(trace).toMatchObject({
    replicaId: 'replica-b',
    sentMs: 10,
    firstMs: 30,
    lastMs: 70,
    tokens: 5,
    cachedTokens: 2,
    replicas: [
      { replicaId: 'replica-a', machines: ['machine-1'], prefill: times(900), decode: sums(170, 2) },
      { replicaId: 'replica-b', machines: ['machine-2'], prefill: times(800), decode: times(70) },
    ],
    interruptions: [{ startMs: 40, endMs: 60 }],
  })
  expect(trace.tokenMs).toBe(10)
  trace.interrupted(80)
  expect(trace.interruptions).toHaveLength(2)
})
