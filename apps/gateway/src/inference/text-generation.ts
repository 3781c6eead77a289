import type { SamplingParams, TokenLogprobs } from '@deos/domain'
import { StopStrings } from '@deos/engine/tokenizer'
import type { FinishReason } from '@deos/protocol'
import type { GenerateEvent } from './backend.ts'
import type { RequestOrigin } from './chat/chat-request.ts'
import { PromptTooLongError } from './errors.ts'
import type { TextModel } from './text-model.ts'

/** One answer to write, whichever API asked for it. */
export interface TextRequest extends RequestOrigin {
  readonly id: string
  readonly prompt: Int32Array
  /** Upper bound; `null`, or more than fits, is what the context leaves. 0 answers with nothing. */
  readonly maxTokens: number | null
  readonly stopStrings: readonly string[]
  readonly ignoreEos: boolean
  /** Texts of control tokens that are to be seen; the others are no part of the text. */
  readonly visibleTokens: readonly string[]
  /** What the text must look like, as JSON of a grammar specification; `null` is anything. */
  readonly grammar: string | null
  readonly sampling: SamplingParams
  /** 0 is unlimited. */
  readonly deadlineMs: number
}

/** A token of the answer. */
export interface TextToken {
  readonly token: number
  /** Where its text begins in the answer, in UTF-16 units. */
  readonly offset: number
  readonly logprobs: TokenLogprobs | null
}

/** Text that can no longer change, with the tokens that are wholly inside the text so far. */
export interface TextDelta {
  readonly type: 'delta'
  readonly text: string
  readonly tokens: readonly TextToken[]
}

export interface TextFinish {
  readonly type: 'finish'
  readonly reason: FinishReason
  /** The stop string that was found. */
  readonly stopString: string | null
  readonly usage: Usage
}

/** What one answer took. */
export interface Usage {
  /** Every token generated, those cut off by a stop string and the end token included. */
  readonly completionTokens: number
  /** Those of them that were thoughts. */
  readonly reasoningTokens: number
  /** Prompt tokens that were not computed because their KV was still there. */
  readonly cachedTokens: number
}

/** A token arrived, though its text may still be held back. */
export interface Progress {
  readonly type: 'progress'
  /** As in {@link Usage}; known from the first token on. */
  readonly cachedTokens: number
}

export type TextEvent = TextDelta | Progress | TextFinish

/** Longest sequence a request may reach: what the model was made for, or less if the backend holds less. */
export function contextLimit(model: TextModel): number {
  return Math.min(model.contextLength, model.backend.status().contextLength ?? Number.POSITIVE_INFINITY)
}

/**
 * The most tokens that an answer may have; 0 if the prompt leaves no room.
 *
 * @param maxTokens - as asked for; `null` is what the context leaves
 */
export function mostTokens(promptTokens: number, maxTokens: number | null, model: TextModel): number {
  const room = Math.max(0, contextLimit(model) - promptTokens)
  return Math.min(maxTokens ?? room, room)
}

/**
 * How many tokens may follow the prompt.
 *
 * @throws PromptTooLongError if there is no room for one
 */
function roomFor(request: TextRequest, model: TextModel): number {
  const limit = contextLimit(model)
  const room = limit - request.prompt.length
  if (room < 1) throw PromptTooLongError.of(request.prompt.length, limit)
  return Math.min(request.maxTokens ?? room, room)
}

/** Follows one answer from tokens to text that is safe to show. */
class AnswerText {
  readonly #decoder
  readonly #stops
  /** Tokens whose text is not all out yet; `end` is where it ends. */
  #held: { readonly token: TextToken; readonly end: number }[] = []
  #decoded = 0
  #shown = 0
  #stopString: string | null = null

  constructor(model: TextModel, { stopStrings, visibleTokens }: TextRequest) {
    this.#decoder = model.decoder(visibleTokens)
    this.#stops = new StopStrings(stopStrings)
  }

  /** The stop string that ended the text; no more may be pushed then. */
  get stopString(): string | null {
    return this.#stopString
  }

  push({ sampled: { token, logprobs } }: GenerateEvent): TextDelta | null {
    const offset = this.#decoded
    const text = this.#decoder.push(token)
    this.#decoded += text.length
    this.#held.push({ token: { token, offset, logprobs }, end: this.#decoded })
    const shown = this.#scan(text)
    // A token without text waits for the next one that has some.
    return shown === '' && this.#stopString === null ? null : this.#delta(shown)
  }

  /** The rest, once no more tokens come. */
  finish(): TextDelta | null {
    const flushed = this.#decoder.flush()
    this.#decoded += flushed.length
    let shown = this.#scan(flushed)
    if (this.#stopString === null) shown += this.#stops.flush()
    return this.#delta(shown)
  }

  #scan(text: string): string {
    const { text: shown, stop } = this.#stops.push(text)
    this.#stopString = stop
    return shown
  }

  #delta(text: string): TextDelta | null {
    this.#shown += text.length
    const cut = this.#stopString !== null
    const complete = this.#held.findIndex(
      ({ token, end }) => end > this.#shown && !(cut && token.offset < this.#shown),
    )
    const out = this.#held.splice(0, complete === -1 ? this.#held.length : complete)
    const tokens = out.map(({ token }) => token)
    return text === '' && tokens.length === 0 ? null : { type: 'delta', text, tokens }
  }
}

/**
 * Writes one answer: runs the backend, turns tokens into text, ends at a stop string, a stop token or a limit.
 * Ends with exactly one {@link TextFinish}.
 *
 * @throws InferenceError as {@link Backend.generate} does
 */
export async function* generateText(
  model: TextModel,
  request: TextRequest,
  signal: AbortSignal,
): AsyncGenerator<TextEvent, void> {
  const maxTokens = roomFor(request, model)
  if (maxTokens === 0) {
    const usage = { completionTokens: 0, reasoningTokens: 0, cachedTokens: 0 }
    yield { type: 'finish', reason: 'length', stopString: null, usage }
    return
  }
  const stopTokens = request.ignoreEos ? [] : model.stopTokens
  const { id, prompt: tokens, sampling, deadlineMs, tenant, priority, grammar } = request
  const needs = { adapter: model.adapter, grammar }
  const answer = new AnswerText(model, request)
  let completionTokens = 0
  let cachedTokens = 0
  const finish = (reason: FinishReason): TextFinish => ({
    type: 'finish',
    reason: answer.stopString === null ? reason : 'stop',
    stopString: answer.stopString,
    usage: { completionTokens, reasoningTokens: 0, cachedTokens },
  })
  let reason: FinishReason = 'length'
  const stopped = new Set(stopTokens)

  for await (const event of model.backend.generate(
    { id, tokens, maxTokens, stopTokens, sampling, deadlineMs, tenant, priority, needs },
    signal,
  )) {
    completionTokens += 1
    cachedTokens = event.cachedTokens
    yield { type: 'progress', cachedTokens }
    if (event.finish === 'stop' && stopped.has(event.sampled.token)) {
      reason = 'stop'
      break
    }
    const delta = answer.push(event)
    if (delta) yield delta
    if (answer.stopString !== null) {
      yield finish('stop')
      return
    }
    if (event.finish !== null) {
      reason = event.finish
      break
    }
  }

  const rest = answer.finish()
  if (rest) yield rest
  yield finish(reason)
}
