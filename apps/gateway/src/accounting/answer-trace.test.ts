import { expect, test } from 'vitest'
import { AnswerTrace } from './answer-trace.ts'

test('follows an answer through an interruption', () => {
  const trace = new AnswerTrace(Int32Array.of(1, 2, 3))
  expect(trace.tokenMs).toBeNull()
  trace.sent('replica-a', 10)
  trace.token(2, 900, 30)
  trace.interrupted(40)
  trace.interrupted(45)
  trace.sent('replica-b', 50)
  trace.token(3, 800, 60)
  trace.token(3, 700, 70)
  expect(trace).toMatchObject({
    replicaId: 'replica-b',
    sentMs: 10,
    firstMs: 30,
    lastMs: 70,
    tokens: 3,
    cachedTokens: 2,
    engineUs: 2400,
    interruptions: [{ startMs: 40, endMs: 60 }],
  })
  expect(trace.tokenMs).toBe(20)
  trace.interrupted(80)
  expect(trace.interruptions).toHaveLength(2)
})
