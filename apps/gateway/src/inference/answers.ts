import type { FinishReason } from '@deos/protocol'
import { merge } from './merge.ts'
import { generateText, type TextEvent, type TextRequest, type TextToken } from './text-generation.ts'
import type { TextModel } from './text-model.ts'

export interface AnswerEvent {
  readonly answer: number
  readonly event: TextEvent
}

/** An answer that is complete. */
export interface Answer {
  readonly text: string
  readonly tokens: readonly TextToken[]
  readonly reason: FinishReason
  readonly stopString: string | null
  readonly completionTokens: number
}

/** What one API call asks for: several answers, written at the same time. */
export interface AnswersRequest {
  readonly model: TextModel
  readonly answers: readonly TextRequest[]
}

/**
 * Writes all answers of a call at once. When one fails, the others are cancelled and the error is thrown.
 */
export async function* writeAnswers(
  request: AnswersRequest,
  signal: AbortSignal,
): AsyncGenerator<AnswerEvent, void> {
  const all = new AbortController()
  const abort = () => all.abort(signal.reason)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort)
  try {
    const streams = request.answers.map((answer) => generateText(request.model, answer, all.signal))
    for await (const [answer, event] of merge(streams)) yield { answer, event }
  } finally {
    signal.removeEventListener('abort', abort)
    all.abort(new Error('The other answers of this request ended.'))
  }
}

/** Waits for all answers of a call. */
export async function collectAnswers(
  events: AsyncIterable<AnswerEvent>,
  count: number,
): Promise<readonly Answer[]> {
  const drafts = Array.from({ length: count }, () => ({
    text: '',
    tokens: [] as TextToken[],
    reason: 'length' as FinishReason,
    stopString: null as string | null,
    completionTokens: 0,
  }))
  for await (const { answer, event } of events) {
    const draft = drafts[answer]!
    if (event.type === 'delta') {
      draft.text += event.text
      draft.tokens.push(...event.tokens)
    } else if (event.type === 'finish') {
      const { reason, stopString, completionTokens } = event
      Object.assign(draft, { reason, stopString, completionTokens })
    }
  }
  return drafts
}
