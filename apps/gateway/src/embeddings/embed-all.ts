import { setMaxListeners } from 'node:events'
import type { Pooling } from '@deos/protocol'
import type { Work } from '../accounting/ticket.ts'
import type { RequestOrigin } from '../inference/chat/chat-request.ts'
import { PromptTooLongError } from '../inference/errors.ts'
import { type Prompt, promptTokens } from '../inference/prompt.ts'
import { contextLimit } from '../inference/text-generation.ts'
import type { TextModel } from '../inference/text-model.ts'

/** Texts of one request that the ring works on at the same time; more would only fill its queue. */
const AT_ONCE = 16

export interface EmbedAllRequest extends RequestOrigin {
  /** Names the request; its texts are numbered. */
  readonly id: string
  readonly model: TextModel
  /** Well-formed texts, or tokens. */
  readonly inputs: readonly Prompt[]
  /** Whether of a text too long for the model its beginning counts; otherwise it is an error. */
  readonly truncate: boolean
  readonly pooling: Pooling
  /** Asks whether so many tokens may be worked on, before any is. @throws whatever refuses them */
  readonly admit: (promptTokens: number) => Promise<void>
  /** 0 is unlimited. */
  readonly deadlineMs: number
}

export interface Embedded {
  /** One for each input, of length 1. */
  readonly vectors: readonly Float32Array[]
  readonly promptTokens: number
}

/**
 * Turns texts into vectors, several at a time; the first failure ends all of them.
 *
 * @throws InvalidFieldError for an input that is no text of this model; InferenceError as the backend does
 */
export async function embedAll(request: EmbedAllRequest, signal: AbortSignal): Promise<Embedded> {
  const { id, model, tenant, priority, pooling, deadlineMs } = request
  const prompts = await mapSome(
    request.inputs,
    (input, _index, either) => inputTokens(input, request, either),
    signal,
  )
  const promptTokens = prompts.reduce((sum, { length }) => sum + length, 0)
  await request.admit(promptTokens)
  const needs = { adapter: model.adapter, grammar: null }
  const vectors = await mapSome(
    prompts,
    async (tokens, index, either) => {
      const asked = { id: `${id}.${index}`, tokens, tenant, priority, needs, pooling, deadlineMs }
      return normalised(await model.backend.embed(asked, either))
    },
    signal,
  )
  return { vectors, promptTokens }
}

/** What vectors ask for: prompts, and no token more. */
export const embeddingWork = (promptTokens: number): Work => ({
  operation: 'embeddings',
  promptTokens,
  mostTokens: 0,
  bounded: true,
  streamed: false,
})

/** Tokens of one input, at most as many as the model takes: the ring wants room for one more. */
async function inputTokens(
  input: Prompt,
  { model, truncate }: EmbedAllRequest,
  signal: AbortSignal,
): Promise<Int32Array> {
  const limit = contextLimit(model)
  const tokens = truncate
    ? (await beginning(input, model, signal)).subarray(0, limit - 1)
    : await promptTokens(input, 'input', model, signal)
  if (tokens.length >= limit) throw PromptTooLongError.of(tokens.length, limit)
  return tokens
}

/** Tokens of as much of an input as the tokenizer takes, which is far more than the model does. */
async function beginning(input: Prompt, model: TextModel, signal: AbortSignal): Promise<Int32Array> {
  for (let kept = input; ; kept = kept.slice(0, Math.ceil(kept.length / 2))) {
    try {
      return await promptTokens(kept, 'input', model, signal)
    } catch (error) {
      if (!(error instanceof PromptTooLongError) || kept.length === 1) throw error
    }
  }
}

/** A vector of length 1 in the same direction; one of length 0 stays as it is. */
function normalised(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
  return length === 0 ? vector : vector.map((value) => value / length)
}

async function mapSome<T, R>(
  items: readonly T[],
  work: (item: T, index: number, signal: AbortSignal) => Promise<R>,
  signal: AbortSignal,
): Promise<readonly R[]> {
  const failed = new AbortController()
  const either = AbortSignal.any([signal, failed.signal])
  // All that run at once listen to it; they leave when they end.
  setMaxListeners(0, either)
  const results: R[] = []
  let next = 0
  const lane = async () => {
    while (next < items.length && !either.aborted) {
      const index = next++
      results[index] = await work(items[index]!, index, either)
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, lane))
  } catch (error) {
    failed.abort(error)
    throw error
  }
  signal.throwIfAborted()
  return results
}
