import type { AnswerPiece, Usage } from '../http/server-client.ts'
import { formatMilliseconds } from '../text/quantities.ts'

export interface Timings {
  /** Until the first piece of text. */
  readonly ttftMs: number
  readonly totalMs: number
  /** After the first token; `null` if there was at most one. */
  readonly tokensPerSecond: number | null
}

export interface FinishedAnswer {
  readonly text: string
  readonly finish: string | null
  readonly usage: Usage | null
  readonly timings: Timings
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits))

/** Collects a streamed answer while handing on its text. @param now - milliseconds */
export async function collectAnswer(
  pieces: AsyncIterable<AnswerPiece>,
  onText: (text: string) => void,
  now: () => number,
): Promise<FinishedAnswer> {
  const startMs = now()
  let firstMs: number | null = null
  let text = ''
  let finish: string | null = null
  let usage: Usage | null = null
  for await (const piece of pieces) {
    if (piece.text !== '') {
      firstMs ??= now()
      text += piece.text
      onText(piece.text)
    }
    finish = piece.finish ?? finish
    usage = piece.usage ?? usage
  }
  const endMs = now()
  return { text, finish, usage, timings: timingsOf(startMs, firstMs ?? endMs, endMs, usage) }
}

function timingsOf(startMs: number, firstMs: number, endMs: number, usage: Usage | null): Timings {
  const later = (usage?.completion_tokens ?? 0) - 1
  const tokensPerSecond = later > 0 && endMs > firstMs ? (later * 1000) / (endMs - firstMs) : null
  return {
    ttftMs: round(firstMs - startMs, 1),
    totalMs: round(endMs - startMs, 1),
    tokensPerSecond: tokensPerSecond === null ? null : round(tokensPerSecond, 2),
  }
}

/** `48 tokens, first after 61 ms, then 22.4 tokens/s`. */
export function formatTimings({ usage, timings }: FinishedAnswer): string {
  const tokens = usage === null ? '' : `${usage.completion_tokens} tokens, `
  const speed =
    timings.tokensPerSecond === null ? '' : `, then ${timings.tokensPerSecond.toFixed(1)} tokens/s`
  return `${tokens}first after ${formatMilliseconds(timings.ttftMs)}${speed}`
}
