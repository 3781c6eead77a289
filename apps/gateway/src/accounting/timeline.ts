import type { RequestRecord } from '@deos/api'
import { ms } from '@deos/domain'
import type { AnswerTrace, Stretch } from './answer-trace.ts'

type Span = RequestRecord['timeline'][number]

/** Records stay small however often an answer was interrupted. */
const MAX_INTERRUPTIONS = 50

const least = (values: readonly (number | null)[]): number | null => {
  const known = values.filter((value) => value !== null)
  return known.length === 0 ? null : Math.min(...known)
}

const most = (values: readonly (number | null)[]): number | null => {
  const known = values.filter((value) => value !== null)
  return known.length === 0 ? null : Math.max(...known)
}

/**
 * The parts of a request's life since it arrived: waiting here until the first answer was handed to a ring, from there to
 * the first token (waiting in the ring included), then to the last; better copies of KV and interruptions lie within.
 */
export function timelineOf(answers: readonly AnswerTrace[], { startMs, endMs }: Stretch): Span[] {
  const span = (phase: Span['phase'], from: number, to: number): Span => ({
    phase,
    startMs: ms(Math.max(0, from - startMs)),
    endMs: ms(Math.max(0, to - startMs)),
  })
  const sentMs = least(answers.map((answer) => answer.sentMs))
  const firstMs = least(answers.map((answer) => answer.firstMs))
  const lastMs = most(answers.map((answer) => answer.lastMs))
  const spans = [span('queue', startMs, sentMs ?? endMs)]
  if (sentMs !== null) spans.push(span('prefill', sentMs, firstMs ?? endMs))
  if (firstMs !== null) spans.push(span('decode', firstMs, lastMs!))
  for (const { firstMs: begunMs, split } of answers) {
    const copies = split?.enhancement ?? null
    if (begunMs === null || copies === null) continue
    spans.push(span('enhancement', begunMs, Math.min(endMs, begunMs + (copies.endedMs ?? endMs))))
  }
  const interruptions = answers
    .flatMap((answer) => answer.interruptions)
    .sort((a, b) => a.startMs - b.startMs)
    .slice(0, MAX_INTERRUPTIONS)
  return [...spans, ...interruptions.map((each) => span('interruption', each.startMs, each.endMs ?? endMs))]
}
