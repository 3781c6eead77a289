import { expect, test } from 'vitest'
import { AnswerTrace } from './answer-trace.ts'
import { timelineOf } from './timeline.ts'

const prompt = Int32Array.of(1)

test('phases follow each other, and interruptions lie within', () => {
  const first = new AnswerTrace(prompt)
  first.sent('a', [], 110)
  first.token(0, [], 150)
  first.interrupted(160)
  first.token(0, [], 180)
  const second = new AnswerTrace(prompt)
  second.sent('a', [], 112)
  second.token(0, [], 145)
  second.token(0, [], 200)
  expect(timelineOf([first, second], { startMs: 100, endMs: 205 })).toEqual([
    { phase: 'queue', startMs: 0, endMs: 10 },
    { phase: 'prefill', startMs: 10, endMs: 45 },
    { phase: 'decode', startMs: 45, endMs: 100 },
    { phase: 'interruption', startMs: 60, endMs: 80 },
  ])
})

test('what never began ends with the request', () => {
  expect(timelineOf([], { startMs: 5, endMs: 25 })).toEqual([{ phase: 'queue', startMs: 0, endMs: 20 }])
  const waiting = new AnswerTrace(prompt)
  waiting.sent('a', [], 10)
  waiting.interrupted(12)
  expect(timelineOf([waiting], { startMs: 5, endMs: 25 }).map(({ phase, endMs }) => [phase, endMs])).toEqual([
    ['queue', 5],
    ['prefill', 20],
    ['interruption', 20],
  ])
})
