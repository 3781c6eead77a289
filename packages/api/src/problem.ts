import { DomainError } from '@deos/domain'
import { z } from 'zod'
import { component, exemplified } from './contract/registry.ts'
import { type ProblemName, problemTypes, problemUri } from './problem-types.ts'
import { places, ValidationError } from './validation.ts'

/** The media type of RFC 9457. */
export const problemMediaType = 'application/problem+json'

/** Problem details as they are sent. */
export const problemSchema = component(
  'Problem',
  z.object({
    type: exemplified(z.string(), [problemUri('conflict')]),
    title: z.string(),
    status: z.int().min(400).max(599),
    detail: z.string(),
    /** What to do about it; may be empty. */
    hint: z.string(),
    /** Stable, for programs; finer than `type`. */
    code: exemplified(z.string(), ['DEPLOYMENT_PAUSED']),
    retriable: z.boolean(),
    retryAfterMs: z.int().min(0).nullable(),
    requestId: z.string().nullable(),
    errors: z.array(z.object({ in: z.enum(places), field: z.string(), message: z.string() })),
    /** Further field problems that are not listed. */
    moreErrors: z.int().min(0),
  }),
  'What went wrong and what to do, after RFC 9457.',
)

export type Problem = z.output<typeof problemSchema>

interface ProblemErrorDetails {
  readonly code?: string
  readonly hint?: string
  readonly retryAfterMs?: number
  readonly cause?: unknown
}

/** Thrown by a server for trouble that no part below it has a name for. `detail` is shown to the caller as it is. */
export class ProblemError extends DomainError {
  readonly code: string
  readonly retriable: boolean
  readonly retryAfterMs: number | null

  constructor(
    readonly problem: ProblemName,
    detail: string,
    details: ProblemErrorDetails = {},
  ) {
    super(detail, details.hint ?? '', { cause: details.cause })
    this.code = details.code ?? problem.replaceAll('-', '_').toUpperCase()
    this.retriable = problemTypes[problem].retriable
    this.retryAfterMs = details.retryAfterMs ?? null
  }
}

/** Which problem a {@link DomainError} is, by its code. Only errors named here are shown: their words are for callers. */
export type ProblemMapping = Readonly<Record<string, ProblemName>>

const internalDetail = 'The server could not answer because of a fault of its own.'
const internalHint = 'Try again; if it stays, give the request id to the operator, whose log says more.'

/** Waits that errors state themselves. */
function retryAfterOf(error: DomainError): number | null {
  const value = 'retryAfterMs' in error ? error.retryAfterMs : null
  return typeof value === 'number' && value >= 0 && Number.isFinite(value) ? Math.ceil(value) : null
}

function nameFor(error: DomainError, mapping: ProblemMapping): ProblemName | null {
  if (error instanceof ProblemError) return error.problem
  if (error instanceof ValidationError) return 'validation'
  return Object.hasOwn(mapping, error.code) ? mapping[error.code]! : null
}

/** What a caller is told of any error; whatever is not expected stays in the server's log. */
export function problemFor(error: unknown, mapping: ProblemMapping, requestId: string | null): Problem {
  const name = error instanceof DomainError ? nameFor(error, mapping) : null
  if (name === null || !(error instanceof DomainError)) {
    return {
      type: problemUri('internal'),
      ...problemTypes.internal,
      detail: internalDetail,
      hint: internalHint,
      code: 'INTERNAL',
      retryAfterMs: null,
      requestId,
      errors: [],
      moreErrors: 0,
    }
  }
  const { status, title } = problemTypes[name]
  return {
    type: problemUri(name),
    title,
    status,
    detail: error.message,
    hint: error.hint,
    code: error.code,
    retriable: error.retriable,
    retryAfterMs: retryAfterOf(error),
    requestId,
    errors: error instanceof ValidationError ? error.fields.map((field) => ({ ...field })) : [],
    moreErrors: error instanceof ValidationError ? error.more : 0,
  }
}
