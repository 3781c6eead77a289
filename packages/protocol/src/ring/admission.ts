import type { ImportRequest, OpenRequest, RejectCode, RingCapacity } from '../messages.ts'

export interface Refusal {
  readonly code: RejectCode
  readonly message: string
  /** 0 when trying again does not help. */
  readonly retryAfterMs: number
}

const MAX_PRIORITY = 100
const MAX_TENANT_CHARACTERS = 256

/** Positions one session can have: its context, unless the whole page pool is smaller. */
export const longestSession = (capacity: RingCapacity): number =>
  Math.min(capacity.contextLength, capacity.kvPages * capacity.pageTokens)

/** @param vocabSize - token ids must be below; `null` skips that check */
export function judgeRequest(
  request: OpenRequest,
  capacity: RingCapacity,
  vocabSize: number | null,
): Refusal | null {
  const { tokens, pooling } = request
  const problem =
    findTokenProblem(request, vocabSize) ??
    findOwnerProblem(request) ??
    (pooling === null ? findOutputProblem(request) : findPoolingProblem(request))
  if (problem !== null) return { code: 'invalid', message: problem, retryAfterMs: 0 }
  return judgeLength(tokens.length, pooling !== null, capacity)
}

/** Why the KV of a prompt cannot be taken from elsewhere, or `null`. */
export function judgeImport(
  { tokens, tenant }: ImportRequest,
  capacity: RingCapacity,
  vocabSize: number | null,
): Refusal | null {
  const problem =
    findForeignToken(tokens, vocabSize) ??
    (tokens.length < 2 ? `${tokens.length} tokens leave nothing to import; send at least 2.` : null) ??
    findTenantProblem(tenant)
  if (problem !== null) return { code: 'invalid', message: problem, retryAfterMs: 0 }
  return judgeLength(tokens.length, false, capacity)
}

/** @param length - prompt and the tokens generated so far */
export function judgeLength(length: number, pooling: boolean, capacity: RingCapacity): Refusal | null {
  const longest = longestSession(capacity) - (pooling ? 0 : 1)
  if (length <= longest) return null
  const room = pooling ? `${longest}` : `${longest + 1} with at least one answer token`
  return {
    code: 'prompt_too_long',
    message: `The prompt has ${length} tokens; this ring holds ${room}. Shorten it by ${length - longest}.`,
    retryAfterMs: 0,
  }
}

/** Tokens that a request which {@link judgeRequest} lets pass may generate, resumed ones included. */
export function allowedTokens(
  { tokens, resumed, maxTokens, pooling }: OpenRequest,
  capacity: RingCapacity,
): number {
  if (pooling !== null) return 1
  return resumed + Math.min(maxTokens - resumed, longestSession(capacity) - tokens.length)
}

function findTokenProblem({ tokens, resumed }: OpenRequest, vocabSize: number | null): string | null {
  if (tokens.length === 0) return 'The prompt is empty. Send at least one token.'
  if (resumed > tokens.length) return `${resumed} resumed tokens exceed the ${tokens.length} sent.`
  return findForeignToken(tokens, vocabSize)
}

function findForeignToken(tokens: Int32Array, vocabSize: number | null): string | null {
  if (vocabSize === null) return null
  const foreign = tokens.find((token) => token < 0 || token >= vocabSize)
  return foreign === undefined ? null : `Token ${foreign} is outside the vocabulary of ${vocabSize}.`
}

function findOwnerProblem({ tenant, priority }: OpenRequest): string | null {
  if (!Number.isInteger(priority) || Math.abs(priority) > MAX_PRIORITY) {
    return `priority is ${priority}; it must be a whole number from -${MAX_PRIORITY} to ${MAX_PRIORITY}.`
  }
  return findTenantProblem(tenant)
}

function findTenantProblem(tenant: string): string | null {
  if (tenant.length <= MAX_TENANT_CHARACTERS) return null
  return `The name of the tenant has ${tenant.length} characters; at most ${MAX_TENANT_CHARACTERS} are allowed.`
}

function findOutputProblem({ maxTokens, resumed }: OpenRequest): string | null {
  // A prompt alone: it is computed and kept.
  if (maxTokens > resumed || (maxTokens === 0 && resumed === 0)) return null
  return `maxTokens is ${maxTokens}, but ${resumed} tokens were already generated.`
}

function findPoolingProblem({ resumed, needs }: OpenRequest): string | null {
  if (resumed > 0) return `A vector is asked for, but ${resumed} tokens were already generated.`
  if (needs.grammar !== null) return 'A vector is asked for, but also a grammar. Leave the grammar out.'
  return null
}
