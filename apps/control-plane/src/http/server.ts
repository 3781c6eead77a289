import {
  apiDocument,
  apiPrefix,
  everyRoute,
  matchPath,
  ProblemError,
  requestIdHeader,
  routes,
} from '@deos/api'
import type { IdSource } from '@deos/domain'
import type { Logger } from '@deos/service'
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify'
import { type BindingParts, bindRoutes } from './binding.ts'
import { type ConsoleFiles, serveConsole } from './console-files.ts'
import { parseJsonBody } from './json-body.ts'
import { sendProblem, toldProblem } from './problem-answers.ts'
import { addSecurityHeaders } from './security-headers.ts'

export interface HttpServerOptions {
  /** Of the software, for the API's document. */
  readonly version: string
  /** Where people reach the control plane: `https://deos.example.org`. */
  readonly publicUrl: string
  /** Folder of the built console; null if there is none. */
  readonly consoleFolder: string | null
  /** Proxies in front whose word on address, protocol and host counts: `true` for all, or addresses and subnets. */
  readonly trustProxy: boolean | readonly string[]
  /** Origins that the console talks to beside its own, such as the gateway's. */
  readonly connectSources: () => readonly string[]
  readonly bodyLimitBytes?: number
  /** Between signs of life of silent streams. */
  readonly pingMs?: number
}

export interface HttpServerParts extends BindingParts {
  readonly logger: Logger
  readonly ids: IdSource
  /** Adds what is no part of the API: health and metrics. */
  readonly operations: (app: FastifyInstance) => void
}

const defaultBodyLimitBytes = 4 * 1024 * 1024
const defaultPingMs = 15_000
/** Time to receive a whole request; a sender slower than this is not sending. */
const receiveTimeoutMs = 120_000
const maxParamLength = 1024

const requestIdPattern = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$/

const pathOf = (url: string): string => url.split('?', 1)[0]!

const isApi = (url: string): boolean => /^\/api(?:\/|$)/.test(pathOf(url))

/** Answers to bytes that are no HTTP request, below the framework. */
function refuseConnection(
  error: Error & { code?: string },
  socket: NodeJS.WritableStream & { destroy(): void },
): void {
  const status =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? '408 Request Timeout'
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? '431 Request Header Fields Too Large'
        : '400 Bad Request'
  if (error.code !== 'ECONNRESET' && socket.writable) {
    socket.write(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`)
  }
  socket.destroy()
}

/** Methods that an address of the API answers to; none if there is no such address. */
function methodsAt(path: string): readonly string[] {
  if (!path.startsWith(`${apiPrefix}/`)) return []
  const below = path.slice(apiPrefix.length)
  const methods = everyRoute(routes)
    .filter(({ route }) => matchPath(route.path, below) !== null)
    .map(({ route }) => route.method)
  return [...new Set(methods)].sort()
}

function unknownAddress(request: FastifyRequest, reply: FastifyReply): ProblemError {
  const methods = methodsAt(pathOf(request.url))
  if (methods.length === 0) {
    return new ProblemError('not-found', 'There is nothing at this address.', {
      hint: `${apiPrefix}/openapi.json lists all addresses.`,
    })
  }
  reply.header('allow', methods.join(', '))
  return new ProblemError('method-not-allowed', `This address does not answer to ${request.method}.`, {
    hint: `Use ${methods.join(' or ')}.`,
  })
}

/**
 * The control plane's HTTP server: the API, its document and the console. Not listening yet; `listen()` and `close()`
 * are the framework's. Closing breaks streams off, so that readers come back elsewhere.
 */
export async function createHttpServer(
  options: HttpServerOptions,
  parts: HttpServerParts,
): Promise<FastifyInstance> {
  const { problems, logger, ids } = parts
  const app = fastify({
    bodyLimit: options.bodyLimitBytes ?? defaultBodyLimitBytes,
    loggerInstance: logger as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    requestTimeout: receiveTimeoutMs,
    forceCloseConnections: true,
    trustProxy: typeof options.trustProxy === 'boolean' ? options.trustProxy : [...options.trustProxy],
    genReqId: ({ headers }) => {
      const given = headers[requestIdHeader]
      return typeof given === 'string' && requestIdPattern.test(given) ? given : ids.next('req')
    },
    routerOptions: { maxParamLength },
    frameworkErrors: (error, request, reply) => {
      prepare(request, reply)
      sendProblem(reply, toldProblem(error, problems, request))
    },
    clientErrorHandler: refuseConnection,
  })

  const prepare = (request: FastifyRequest, reply: FastifyReply) => {
    reply.header(requestIdHeader, request.id)
    addSecurityHeaders(reply, isApi(request.url), options.connectSources)
  }

  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    /^application\/json\s*(?:;|$)/i,
    { parseAs: 'buffer' },
    async (_request: FastifyRequest, body: Buffer) => parseJsonBody(body),
  )
  app.addHook('onRequest', async (request, reply) => prepare(request, reply))
  logAnswers(app)
  app.setErrorHandler((error, request, reply) => {
    sendProblem(reply, toldProblem(error, problems, request))
  })

  bindRoutes(
    app,
    {
      bodyLimitBytes: options.bodyLimitBytes ?? defaultBodyLimitBytes,
      pingMs: options.pingMs ?? defaultPingMs,
      publicUrl: options.publicUrl,
    },
    parts,
  )
  serveDocument(app, options.version)
  parts.operations(app)
  answerTheRest(app, await serveConsole(app, options.consoleFolder), parts)
  return app
}

function serveDocument(app: FastifyInstance, version: string): void {
  const document = JSON.stringify(apiDocument(version))
  app.get(`${apiPrefix}/openapi.json`, { exposeHeadRoute: false }, (_request, reply) =>
    reply.type('application/json; charset=utf-8').send(document),
  )
}

function answerTheRest(app: FastifyInstance, files: ConsoleFiles, { problems }: HttpServerParts): void {
  app.setNotFoundHandler((request, reply) => {
    if (!isApi(request.url) && files.answer(request, reply)) return
    sendProblem(reply, toldProblem(unknownAddress(request, reply), problems, request))
  })
}

/** One line for each answer; addresses are left out, since people paste all kinds of things there. */
function logAnswers(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.raw.once('close', () => {
      const status = reply.raw.writableFinished ? reply.raw.statusCode : 499
      const operation = request.routeOptions.config?.operation ?? null
      const durationMs = Math.round(reply.elapsedTime)
      request.log.debug({ method: request.method, operation, status, durationMs }, 'Answered.')
    })
  })
}
