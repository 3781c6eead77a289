import { DomainError } from '@deos/domain'

/** Kinds of trouble as OpenAI's API names them. */
export type ProblemType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'insufficient_quota'
  | 'rate_limit_error'
  | 'service_unavailable_error'
  | 'timeout_error'
  | 'server_error'

interface ProblemDetails {
  readonly status: number
  readonly type: ProblemType
  readonly code: string | null
  /** The field of the request that is to blame. */
  readonly param?: string | null
  readonly message: string
  readonly hint?: string
  /** 0 leaves out `Retry-After`. */
  readonly retryAfterMs?: number
  /** Further headers of the answer. */
  readonly headers?: Readonly<Record<string, string>>
  readonly cause?: unknown
}

/** An error as an HTTP client gets to see it; each API renders it in its own shape. */
export class Problem extends DomainError {
  readonly code: string
  readonly retriable: boolean
  readonly status: number
  readonly type: ProblemType
  /** What the body's `code` says. */
  readonly publicCode: string | null
  readonly param: string | null
  readonly retryAfterMs: number
  readonly headers: Readonly<Record<string, string>>

  constructor(details: ProblemDetails) {
    super(details.message, details.hint ?? '', { cause: details.cause })
    this.status = details.status
    this.type = details.type
    this.publicCode = details.code
    this.code = (details.code ?? details.type).toUpperCase()
    this.param = details.param ?? null
    this.retryAfterMs = details.retryAfterMs ?? 0
    this.retriable = this.retryAfterMs > 0 || details.status >= 500
    this.headers = details.headers ?? {}
  }
}

/** A request that must be changed before it can be answered. */
export function badRequest(
  message: string,
  details: {
    readonly param?: string
    readonly code?: string
    readonly hint?: string
    readonly status?: number
  } = {},
): Problem {
  return new Problem({
    status: details.status ?? 400,
    type: 'invalid_request_error',
    code: details.code ?? 'invalid_value',
    param: details.param ?? null,
    message,
    ...(details.hint && { hint: details.hint }),
  })
}

/** Something the API has but this server does not offer yet; refused rather than silently left out. */
export function unsupported(param: string, what: string, hint = 'Leave it out.'): Problem {
  return badRequest(`${what} not supported by this server.`, { param, code: 'unsupported_parameter', hint })
}

/** The answer to whatever comes, or is not finished, while the server stops. */
export function stopping(message: string): Problem {
  return new Problem({
    status: 503,
    type: 'service_unavailable_error',
    code: 'stopping',
    message,
    hint: 'Send the request again shortly.',
    retryAfterMs: 5000,
    headers: { connection: 'close' },
  })
}
