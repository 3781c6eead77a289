import { bytes, ms, tokens } from '@deos/domain'
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

test('better copies lie within, to the end of the request if they were not there before', () => {
  const split = (endedMs: number | null): NonNullable<AnswerTrace['split']> => ({
    ...{ used: true, reason: 'r', prefillReplicaId: null, tokens: tokens(9), bytes: bytes(9) },
    ...{ levels: [4], refusals: 0 },
    enhancement: {
      level: 1,
      bytes: bytes(5),
      endedMs: endedMs === null ? null : ms(endedMs),
      complete: true,
    },
  })
  const enhancement = (endedMs: number | null) => {
    const trace = new AnswerTrace(prompt)
    trace.sent('a', [], 110)
    trace.token(0, [], 150)
    trace.splitTold(split(endedMs))
    trace.token(0, [], 300)
    return timelineOf([trace], { startMs: 100, endMs: 310 }).find(({ phase }) => phase === 'enhancement')
  }
  expect(enhancement(30)).toMatchObject({ startMs: 50, endMs: 80 })
  expect(enhancement(null)).toMatchObject({ startMs: 50, endMs: 210 })
  expect(enhancement(900)).toMatchObject({ startMs: 50, endMs: 210 })
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
