import type { OpenRequest, RejectCode, RingCapacity } from '../messages.ts'

/** What a session may use at most; reserved whole, so that an admitted session never runs out of memory. */
export interface Allowance {
  /** Generated tokens, resumed ones included. */
  readonly maxTokens: number
  readonly pages: number
}

export interface Refusal {
  readonly code: RejectCode
  readonly message: string
  /** 0 when trying again does not help. */
  readonly retryAfterMs: number
}

/** Positions one session can have: its context, unless the whole page pool is smaller. */
export const longestSession = (capacity: RingCapacity): number =>
  Math.min(capacity.contextLength, capacity.kvPages * capacity.pageTokens)

/** @param vocabSize - token ids must be below; `null` skips that check */
export function judgeRequest(
  request: OpenRequest,
  capacity: RingCapacity,
  vocabSize: number | null,
): Refusal | null {
  const { tokens, resumed, maxTokens } = request
  const invalid = (message: string): Refusal => ({ code: 'invalid', message, retryAfterMs: 0 })
  if (tokens.length === 0) return invalid('The prompt is empty. Send at least one token.')
  if (resumed > tokens.length) return invalid(`${resumed} resumed tokens exceed the ${tokens.length} sent.`)
  if (maxTokens <= resumed) {
    return invalid(`maxTokens is ${maxTokens}, but ${resumed} tokens were already generated.`)
  }
  if (vocabSize !== null) {
    const foreign = tokens.find((token) => token < 0 || token >= vocabSize)
    if (foreign !== undefined) return invalid(`Token ${foreign} is outside the vocabulary of ${vocabSize}.`)
  }
  const longest = longestSession(capacity)
  if (tokens.length + 1 > longest) {
    return {
      code: 'prompt_too_long',
      message: `The prompt has ${tokens.length} tokens; this ring holds ${longest} with at least one answer token. Shorten it by ${tokens.length + 1 - longest}.`,
      retryAfterMs: 0,
    }
  }
  return null
}

/** For a request that {@link judgeRequest} lets pass. */
export function allowanceOf(request: OpenRequest, capacity: RingCapacity): Allowance {
  const { tokens, resumed, maxTokens } = request
  const fresh = Math.min(maxTokens - resumed, longestSession(capacity) - tokens.length)
  return { maxTokens: resumed + fresh, pages: Math.ceil((tokens.length + fresh) / capacity.pageTokens) }
}
