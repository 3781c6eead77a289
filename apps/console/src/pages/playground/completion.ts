import { dataOf } from './sse.ts'

export interface Turn {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
}

export interface CompletionRequest {
  /** Of the gateway, ending in `/v1`. */
  readonly gatewayUrl: string
  readonly token: string
  readonly model: string
  readonly turns: readonly Turn[]
  readonly temperature: number
  readonly maxTokens: number
  readonly signal: AbortSignal
}

/** What comes of a request, bit by bit. */
export type CompletionPart =
  | { readonly kind: 'begun'; readonly requestId: string | null }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'usage'; readonly promptTokens: number; readonly completionTokens: number }
  | { readonly kind: 'finished'; readonly reason: string }

/** The gateway refused, or its answer broke off. */
export class CompletionError extends Error {
  override readonly name = 'CompletionError'

  constructor(
    message: string,
    readonly requestId: string | null,
  ) {
    super(message)
  }
}

interface Chunk {
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null }
    readonly finish_reason?: string | null
  }[]
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null
  readonly error?: { readonly message?: string }
}

async function refusal(response: Response, requestId: string | null): Promise<CompletionError> {
  const text = await response.text()
  try {
    const message = (JSON.parse(text) as Chunk).error?.message
    if (message !== undefined) return new CompletionError(message, requestId)
  } catch {
    // Something between answered, in its own words.
  }
  return new CompletionError(`The gateway answered with status ${response.status}.`, requestId)
}

/**
 * Streams a chat completion from the gateway, which speaks the language of OpenAI.
 *
 * @throws CompletionError if it refuses or breaks off
 */
export async function* complete(request: CompletionRequest): AsyncGenerator<CompletionPart> {
  const { gatewayUrl, token, model, turns, temperature, maxTokens, signal } = request
  const response = await fetch(`${gatewayUrl.replace(/\/$/, '')}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      messages: turns,
      temperature,
      max_tokens: maxTokens,
      stream: true,
      stream_options: { include_usage: true },
    }),
    signal,
  }).catch((error: unknown) => {
    if (signal.aborted) throw error
    throw new CompletionError(
      `The gateway at ${gatewayUrl} could not be reached. Check that it runs and may be called from here.`,
      null,
    )
  })
  const requestId = response.headers.get('x-request-id')
  if (!response.ok || response.body === null) throw await refusal(response, requestId)
  yield { kind: 'begun', requestId }
  let finished = false
  for await (const data of dataOf(response.body)) {
    if (data === '[DONE]') return
    const chunk = JSON.parse(data) as Chunk
    if (chunk.error !== undefined)
      throw new CompletionError(chunk.error.message ?? 'The answer broke off.', requestId)
    const choice = chunk.choices?.[0]
    if (choice?.delta?.content) yield { kind: 'text', text: choice.delta.content }
    if (choice?.finish_reason) {
      finished = true
      yield { kind: 'finished', reason: choice.finish_reason }
    }
    if (chunk.usage) {
      yield {
        kind: 'usage',
        promptTokens: chunk.usage.prompt_tokens,
        completionTokens: chunk.usage.completion_tokens,
      }
    }
  }
  if (!finished) throw new CompletionError('The answer broke off before it was finished.', requestId)
}
