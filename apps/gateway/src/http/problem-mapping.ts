import { DomainError } from '@deos/domain'
import { InferenceError, InvalidFieldError } from '../inference/errors.ts'
import { badRequest, Problem } from './problem.ts'

function fromInference(error: InferenceError): Problem {
  const { message, hint, retryAfterMs } = error
  const common = { message, hint, retryAfterMs, cause: error }
  switch (error.kind) {
    case 'queue_full':
      return new Problem({ ...common, status: 429, type: 'rate_limit_error', code: 'rate_limit_exceeded' })
    case 'not_ready':
      return new Problem({ ...common, status: 503, type: 'service_unavailable_error', code: 'not_ready' })
    case 'interrupted':
      return new Problem({ ...common, status: 503, type: 'service_unavailable_error', code: 'interrupted' })
    case 'deadline':
      return new Problem({ ...common, status: 504, type: 'timeout_error', code: 'deadline_exceeded' })
    case 'prompt_too_long':
      return badRequest(message, { code: 'context_length_exceeded', hint })
    case 'invalid':
      return badRequest(message, { hint })
  }
}

interface FrameworkError {
  readonly code: string
  readonly statusCode: number
  readonly message: string
}

const isFrameworkError = (error: unknown): error is FrameworkError =>
  error instanceof Error &&
  typeof (error as Partial<FrameworkError>).code === 'string' &&
  typeof (error as Partial<FrameworkError>).statusCode === 'number'

function fromFramework(error: FrameworkError): Problem | null {
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return badRequest('The request body is larger than this server accepts.', {
        status: 413,
        code: 'request_too_large',
        hint: 'Send less, or raise the gateway’s --body-limit.',
      })
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_INVALID_TYPE':
      return badRequest('The request body must be JSON.', {
        status: 415,
        code: 'unsupported_media_type',
        hint: 'Send the header "content-type: application/json".',
      })
    default:
      return error.statusCode >= 400 && error.statusCode < 500
        ? badRequest(error.message, { status: error.statusCode, code: 'bad_request' })
        : null
  }
}

/** What a client is told about any error. Bugs keep their details to the log. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof InferenceError) return fromInference(error)
  if (error instanceof InvalidFieldError)
    return badRequest(error.message, { param: error.param, hint: error.hint })
  if (isFrameworkError(error)) {
    const problem = fromFramework(error)
    if (problem) return problem
  }
  if (error instanceof DomainError) {
    const { message, hint } = error
    const code = error.code.toLowerCase()
    if (!error.retriable) return badRequest(message, { code, hint })
    return new Problem({
      status: 503,
      type: 'service_unavailable_error',
      code,
      message,
      hint,
      retryAfterMs: 1000,
      cause: error,
    })
  }
  return new Problem({
    status: 500,
    type: 'server_error',
    code: 'internal_error',
    message: 'The server failed to answer this request.',
    hint: 'Send it again; the server’s log tells more under this request id.',
    cause: error,
  })
}
