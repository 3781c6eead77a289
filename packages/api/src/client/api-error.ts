import { DomainError } from '@deos/domain'
import { requestIdHeader } from '../contract/headers.ts'
import { type Problem, problemSchema } from '../problem.ts'
import { type ProblemName, problemNameOf } from '../problem-types.ts'

interface ApiErrorDetails {
  readonly code: string
  readonly hint: string
  readonly retriable: boolean
  readonly status?: number | null
  readonly problem?: Problem | null
  readonly retryAfterMs?: number | null
  readonly requestId?: string | null
  readonly cause?: unknown
}

/** A call that was not answered with what was asked for. */
export class ApiError extends DomainError {
  readonly code: string
  readonly retriable: boolean
  /** Of the answer; null if there was none. */
  readonly status: number | null
  /** What the server said, if it spoke the API's language. */
  readonly problem: Problem | null
  readonly retryAfterMs: number | null
  readonly requestId: string | null

  constructor(message: string, details: ApiErrorDetails) {
    super(message, details.hint, { cause: details.cause })
    this.code = details.code
    this.retriable = details.retriable
    this.status = details.status ?? null
    this.problem = details.problem ?? null
    this.retryAfterMs = details.retryAfterMs ?? null
    this.requestId = details.requestId ?? null
  }

  /** The kind of trouble; null if it is not one the API knows. */
  get problemName(): ProblemName | null {
    return this.problem === null ? null : problemNameOf(this.problem.type)
  }

  static ofProblem(problem: Problem): ApiError {
    return new ApiError(problem.detail, {
      code: problem.code,
      hint: problem.hint,
      retriable: problem.retriable,
      status: problem.status,
      problem,
      retryAfterMs: problem.retryAfterMs,
      requestId: problem.requestId,
    })
  }

  static unreachable(origin: string, cause: unknown): ApiError {
    return new ApiError(`${origin} could not be reached.`, {
      code: 'API_UNREACHABLE',
      hint: 'Check the address and whether the control plane runs there.',
      retriable: true,
      cause,
    })
  }

  /** The answer came, but is not what this client knows. */
  static unexpected(what: string, status: number, requestId: string | null): ApiError {
    return new ApiError(`${what}.`, {
      code: 'API_ANSWER_UNEXPECTED',
      hint: 'Something between may have answered, or the versions of client and server differ: compare them.',
      retriable: status >= 500,
      status,
      requestId,
    })
  }
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What an answer other than 2xx means. */
export async function errorOf(response: Response): Promise<ApiError> {
  const parsed = problemSchema.safeParse(parseJson(await response.text()))
  if (parsed.success) return ApiError.ofProblem(parsed.data)
  return ApiError.unexpected(
    `The server answered with status ${response.status} and no problem details`,
    response.status,
    response.headers.get(requestIdHeader),
  )
}
