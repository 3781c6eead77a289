import { type Problem, ProblemError, type ProblemMapping, problemFor, problemMediaType } from '@deos/api'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { loggableError } from './loggable-error.ts'

const hasCode = (error: unknown): error is Error & { code: string } =>
  error instanceof Error && 'code' in error && typeof error.code === 'string'

/** What the framework refuses before a handler is reached, in words of the API. */
function translated(error: unknown): unknown {
  if (!hasCode(error)) return error
  switch (error.code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new ProblemError('unsupported-media-type', 'The body is not of type application/json.', {
        hint: 'Send JSON and the header "content-type: application/json".',
      })
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new ProblemError('too-large', 'The body is larger than this address accepts.', {
        hint: 'Send less at once.',
      })
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new ProblemError('malformed', 'The body has another length than the request says.')
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new ProblemError('malformed', 'The address cannot be read.', {
        hint: 'Escape what stands between slashes with percent signs.',
      })
    default:
      return error
  }
}

/** Files are refused in words of the file server: it says why by a status of its own. */
function isRefusedFile(error: unknown, request: FastifyRequest): boolean {
  if (request.routeOptions.config?.operation !== undefined || !(error instanceof Error)) return false
  const { statusCode } = error as { statusCode?: unknown }
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500
}

const noSuchFile = (): ProblemError => new ProblemError('not-found', 'There is nothing at this address.')

/** A caller who went away while sending is nobody's fault. */
const isAborted = (error: unknown): boolean =>
  hasCode(error) && (error.code === 'ECONNRESET' || error.code === 'ERR_STREAM_PREMATURE_CLOSE')

/** What callers are told of an error; those that nobody expected are logged. */
export function toldProblem(error: unknown, mapping: ProblemMapping, request: FastifyRequest): Problem {
  const known = translated(error)
  const expected = known === error && isRefusedFile(error, request) ? noSuchFile() : known
  const problem = problemFor(expected, mapping, request.id)
  if (problem.code === 'INTERNAL' && !isAborted(error)) {
    const operation = request.routeOptions.config?.operation ?? null
    request.log.error({ err: loggableError(error), operation }, 'A request failed.')
  }
  return problem
}

export function sendProblem(reply: FastifyReply, problem: Problem): void {
  if (problem.retryAfterMs !== null) {
    reply.header('retry-after', String(Math.max(1, Math.ceil(problem.retryAfterMs / 1000))))
  }
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer realm="deos"')
  reply
    .code(problem.status)
    .type(problemMediaType)
    .send(Buffer.from(JSON.stringify(problem)))
}
