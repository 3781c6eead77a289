import type { Clock, IdSource } from '@deos/domain'
import type { Logger, OpenSpan } from '@deos/service'
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  fastify,
  type HTTPMethods,
  LogController,
} from 'fastify'
import type { Access } from '../access/access.ts'
import { nobody } from '../access/visit.ts'
import type { GatewayMetrics } from '../metrics.ts'
import { allowedOrigin } from './access.ts'
import { errorBodyFor } from './error-shapes.ts'
import { parseJsonBody } from './json-body.ts'
import { badRequest, Problem, stopping } from './problem.ts'
import { asProblem } from './problem-mapping.ts'
import { ClientGoneError } from './request-scope.ts'

export interface ServerOptions {
  readonly bodyLimitBytes: number
  /** Whether clients may name their requests themselves; not where money is reserved by these names. */
  readonly foreignRequestIds: boolean
  /** Origins of web pages that may call, beside pages of this machine. */
  readonly corsOrigins: readonly string[]
  /** True once no new work is taken. */
  readonly draining: () => boolean
}

export interface ServerParts {
  readonly logger: Logger
  readonly ids: IdSource
  readonly clock: Clock
  readonly metrics: GatewayMetrics
  readonly access: Access
  readonly beginSpan: (traceparent: string | null) => OpenSpan | null
}

const isApi = (url: string): boolean => /^\/(v1|api)(\/|$|\?)/.test(url)

const requestIdPattern = /^[\w.:-]{1,128}$/

/** Time to receive a whole request; a sender slower than this is not sending. */
const receiveTimeoutMs = 120_000

function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  if (problem.retryAfterMs > 0) reply.header('retry-after', Math.ceil(problem.retryAfterMs / 1000))
  reply.headers(reply.request.visit?.ticket?.headers() ?? {})
  return reply.code(problem.status).headers(problem.headers).send(errorBodyFor(reply.request.url, problem))
}

/** Answers to bytes that are no HTTP request, below the framework. */
function refuseConnection(
  error: Error & { code?: string },
  socket: NodeJS.WritableStream & { destroy(): void },
): void {
  const late = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
  const large = error.code === 'HPE_HEADER_OVERFLOW'
  const [status, phrase] = late
    ? [408, 'Request Timeout']
    : large
      ? [431, 'Request Header Fields Too Large']
      : [400, 'Bad Request']
  if (error.code !== 'ECONNRESET' && socket.writable) {
    const body = JSON.stringify(
      errorBodyFor('/', badRequest(`The connection was closed: ${phrase}.`, { code: 'bad_request' })),
    )
    socket.write(
      `HTTP/1.1 ${status} ${phrase}\r\ncontent-type: application/json\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    )
  }
  socket.destroy()
}

const exposedHeaders = [
  'x-request-id',
  'openai-processing-ms',
  'retry-after',
  ...['limit', 'remaining', 'reset'].flatMap((what) => [
    `x-ratelimit-${what}-requests`,
    `x-ratelimit-${what}-tokens`,
  ]),
].join(', ')

function answerCors(app: FastifyInstance, extra: readonly string[]): void {
  app.addHook('onRequest', async (request, reply) => {
    const { origin } = request.headers
    reply.header('vary', 'Origin')
    if (origin === undefined || !allowedOrigin(origin, extra)) return
    reply.header('access-control-allow-origin', origin)
    reply.header('access-control-expose-headers', exposedHeaders)
    if (request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined) {
      reply.header('access-control-allow-methods', 'GET, POST, OPTIONS')
      const asked = request.headers['access-control-request-headers']
      reply.header('access-control-allow-headers', asked ?? 'authorization, x-api-key, content-type')
      reply.header('access-control-max-age', '600')
      return reply.code(204).send()
    }
  })
}

function countRequests(app: FastifyInstance, { metrics, clock }: ServerParts): void {
  app.addHook('onRequest', async (request, reply) => {
    const startMs = request.visit.arrivedMs
    reply.raw.once('close', () => {
      const route = request.routeOptions.url ?? 'unknown'
      const status = reply.raw.writableFinished ? reply.raw.statusCode : 499
      const seconds = (clock.now() - startMs) / 1000
      // What did not get as far as an answer is over now, too.
      request.visit.ticket?.end(status)
      metrics.requests.inc({ route, method: request.method, status: String(status) })
      metrics.requestSeconds.observe({ route }, seconds)
      request.log.debug({ method: request.method, route, status, seconds }, 'Answered.')
    })
  })
}

/** Methods a path answers to; empty if it is unknown. */
function allowedMethods(app: FastifyInstance, path: string): readonly string[] {
  const url = path.startsWith('/v1/models/') ? '/v1/models/*' : path
  return ['GET', 'POST'].filter((method) => app.hasRoute({ method: method as HTTPMethods, url }))
}

/** An HTTP server that reads JSON strictly and answers every error in the API's shape; routes are added by others. */
export function createServer(options: ServerOptions, parts: ServerParts): FastifyInstance {
  const app = fastify({
    bodyLimit: options.bodyLimitBytes,
    loggerInstance: parts.logger as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    requestTimeout: receiveTimeoutMs,
    forceCloseConnections: true,
    genReqId: ({ headers }) => {
      const given = headers['x-request-id']
      return options.foreignRequestIds && typeof given === 'string' && requestIdPattern.test(given)
        ? given
        : parts.ids.next('req')
    },
    routerOptions: { maxParamLength: 1024 },
    frameworkErrors: (error, _request, reply) => {
      void sendProblem(reply, asProblem(error))
    },
    clientErrorHandler: refuseConnection,
  })

  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    /^application\/(json|[\w.-]+\+json)(\s*;|$)/i,
    { parseAs: 'buffer' },
    async (_request: unknown, body: Buffer) => parseJsonBody(body),
  )

  app.decorateRequest('visit')
  app.addHook('onRequest', async (request, reply) => {
    const { traceparent } = request.headers
    request.visit = {
      id: request.id,
      arrivedMs: parts.clock.now(),
      span: isApi(request.url) ? parts.beginSpan(typeof traceparent === 'string' ? traceparent : null) : null,
      caller: nobody,
      ticket: null,
    }
    reply.header('x-request-id', request.id)
  })
  countRequests(app, parts)
  answerCors(app, options.corsOrigins)

  app.addHook('onRequest', async (request) => {
    if (!isApi(request.url)) return
    request.visit.caller = await parts.access.admit(request.headers)
    if (options.draining()) {
      throw stopping('This server is stopping and takes no new requests.')
    }
  })
  app.addHook('onSend', async (_request, reply) => {
    reply.header('openai-processing-ms', Math.round(reply.elapsedTime))
  })

  app.setErrorHandler((error, request, reply) => {
    if (error instanceof ClientGoneError) return reply.hijack()
    const problem = asProblem(error)
    if (problem.status === 500) request.log.error({ err: error }, 'A request failed.')
    else request.log.debug({ status: problem.status, code: problem.publicCode }, problem.message)
    return sendProblem(reply, problem)
  })
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0]!
    const methods = allowedMethods(app, path)
    const shown = `${request.method} ${path.slice(0, 200)}`
    const problem =
      methods.length > 0
        ? new Problem({
            status: 405,
            type: 'invalid_request_error',
            code: 'method_not_allowed',
            message: `Not allowed: ${shown}.`,
            hint: `Use ${methods.join(' or ')}.`,
            headers: { allow: methods.join(', ') },
          })
        : badRequest(`Unknown URL: ${shown}.`, { status: 404, code: 'unknown_url' })
    return sendProblem(reply, problem)
  })
  return app
}
