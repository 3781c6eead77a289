import {
  everyRoute,
  type Handlers,
  type NamedRoute,
  type Problem,
  type ProblemMapping,
  type RawRequest,
  type RequestOf,
  type Route,
  type Routes,
  readRequest,
  routerPath,
  routes,
  type StreamEvent,
  writeAnswer,
} from '@deos/api'
import type { Logger } from '@deos/service'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from './caller.ts'
import type { Credentials, PresentedRequest, Standing } from './credentials.ts'
import { sendEvents } from './event-answers.ts'
import { type Idempotency, secretAnswers, type WrittenAnswer } from './idempotency.ts'
import { Outlet, takeUntil } from './outlet.ts'
import { toldProblem } from './problem-answers.ts'
import { RangedBytes, RangeNotSatisfiableError, rangeOf } from './ranged-bytes.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Id of the API's route: `machines.list`. */
    operation?: string
  }
}

export interface BindingOptions {
  readonly bodyLimitBytes: number
  readonly pingMs: number
  /** Where people reach the control plane: `https://deos.example.org`. */
  readonly publicUrl: string
}

export interface BindingParts {
  readonly handlers: Handlers<Routes, Caller>
  readonly credentials: Credentials
  readonly problems: ProblemMapping
  readonly idempotency: Idempotency
}

/** Whoever has no credential has no business with more: passwords and keys of machines are short. */
const publicBodyLimitBytes = 64 * 1024

type AnyHandler = (request: RequestOf<Route>, caller: Caller) => unknown

/** What the handlers of a table are when one of any route is called: each belongs to the route of its name. */
function handlerOf(handlers: Handlers<Routes, Caller>, { group, name }: NamedRoute): AnyHandler {
  const table = handlers as unknown as Readonly<Record<string, Readonly<Record<string, AnyHandler>>>>
  const handler = table[group]?.[name]
  if (handler === undefined) throw new Error(`Nobody handles ${group}.${name}.`)
  return handler
}

interface Call {
  readonly named: NamedRoute
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly caller: Caller
  /** Aborts when nobody waits for the answer any more. */
  readonly gone: AbortSignal
}

/** Makes every route of the API answer. */
export function bindRoutes(app: FastifyInstance, options: BindingOptions, parts: BindingParts): void {
  const binding = new Binding(options, parts)
  for (const named of everyRoute(routes)) binding.bind(app, named)
}

class Binding {
  readonly #options: BindingOptions
  readonly #parts: BindingParts
  readonly #standings = new WeakMap<FastifyRequest, Standing>()
  readonly #publicOrigin: string

  constructor(options: BindingOptions, parts: BindingParts) {
    this.#options = options
    this.#parts = parts
    this.#publicOrigin = new URL(options.publicUrl).origin
  }

  bind(app: FastifyInstance, named: NamedRoute): void {
    const { route } = named
    const handler = handlerOf(this.#parts.handlers, named)
    const { bodyLimitBytes } = this.#options
    app.route({
      method: route.method,
      url: routerPath(route),
      exposeHeadRoute: false,
      config: { operation: named.id },
      bodyLimit:
        route.permission === 'public' ? Math.min(publicBodyLimitBytes, bodyLimitBytes) : bodyLimitBytes,
      // Before the body is read: strangers send nothing large.
      onRequest: async (request, reply) => {
        const standing = await this.#parts.credentials.check(this.#presented(request), route)
        for (const cookie of standing.cookies) reply.header('set-cookie', cookie)
        this.#standings.set(request, standing)
      },
      handler: (request, reply) => {
        const gone = new AbortController()
        // An abort costs more than all else here; whoever has the whole answer is not missed.
        reply.raw.once('close', () => {
          if (!reply.raw.writableFinished) gone.abort()
        })
        const caller = this.#caller(request, reply, gone.signal)
        return this.#answer({ named, request, reply, caller, gone: gone.signal }, handler)
      },
    })
  }

  #presented(request: FastifyRequest): PresentedRequest {
    const { method, headers, protocol, host } = request
    const params = request.params as PresentedRequest['params']
    return { method, headers, params, ownOrigins: [`${protocol}://${host}`, this.#publicOrigin] }
  }

  #caller(request: FastifyRequest, reply: FastifyReply, signal: AbortSignal): Caller {
    const standing = this.#standings.get(request)
    if (standing === undefined) throw new Error('A request reached its handler unchecked.')
    const { cookies: _, ...who } = standing
    return {
      ...who,
      requestId: request.id,
      address: request.ip,
      headers: request.headers,
      signal,
      logger: request.log as Logger,
      addHeader: (name, value) => void reply.header(name, value),
    }
  }

  /** @returns what the framework is to send; nothing if nothing is said, or all was said already */
  async #answer(call: Call, handler: AnyHandler): Promise<string | undefined> {
    const { named, caller, reply } = call
    const { route } = named
    const read = readRequest(route, rawRequest(call.request))
    if (route.answer.kind === 'stream') {
      const events = (await handler(read, caller)) as AsyncIterable<StreamEvent<unknown>>
      return this.#sendEvents(call, events)
    }
    if (route.answer.kind === 'bytes') {
      return this.#sendBytes(call, (await handler(read, caller)) as AsyncIterable<Uint8Array>)
    }
    const work = async () => written(route, await handler(read, caller))
    const { status, text } = await this.#once(call, read, work)
    reply.code(status)
    if (text === '') return undefined
    reply.type('application/json; charset=utf-8')
    return text
  }

  #once({ named, caller }: Call, read: RequestOf<Route>, work: () => Promise<WrittenAnswer>) {
    if (read.idempotencyKey === null) return work()
    const { params, query, body } = read
    const call = {
      caller: `${callerName(caller)}@${caller.organisation ?? '-'}`,
      operation: named.id,
      key: read.idempotencyKey,
      request: { params, query, body },
      holdsSecret: secretAnswers.has(named.id),
    }
    return this.#parts.idempotency.answer(call, work)
  }

  async #sendEvents(call: Call, events: AsyncIterable<StreamEvent<unknown>>): Promise<undefined> {
    const { named, request, reply, gone } = call
    reply.headers({ 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' })
    const outlet = this.#hijack(reply, 200, gone)
    await sendEvents(named.route, events, outlet, {
      pingMs: this.#options.pingMs,
      signal: gone,
      refusal: async () => {
        await this.#parts.credentials.check(this.#presented(request), named.route)
        return null
      },
      problemOf: (error) => this.#problemOf(error, request),
    })
    return undefined
  }

  async #sendBytes(call: Call, bytes: AsyncIterable<Uint8Array>): Promise<undefined> {
    const { named, request, reply, gone } = call
    if (named.route.answer.kind === 'bytes') reply.header('content-type', named.route.answer.contentType)
    const part = bytes instanceof RangedBytes ? this.#partOf(bytes, request, reply) : { status: 200, bytes }
    const outlet = this.#hijack(reply, part.status, gone)
    try {
      for await (const chunk of takeUntil(part.bytes, gone)) await outlet.write(chunk)
      outlet.end()
    } catch (error) {
      this.#problemOf(error, request)
      outlet.destroy()
    }
    return undefined
  }

  #partOf(bytes: RangedBytes, request: FastifyRequest, reply: FastifyReply) {
    const { sizeBytes } = bytes
    reply.header('accept-ranges', 'bytes')
    try {
      const range = rangeOf(request.headers.range, sizeBytes)
      const { first, end } = range ?? { first: 0, end: sizeBytes }
      reply.header('content-length', String(end - first))
      if (range === null) return { status: 200, bytes: bytes.read({ first, end }) }
      reply.header('content-range', `bytes ${first}-${end - 1}/${sizeBytes}`)
      return { status: 206, bytes: bytes.read(range) }
    } catch (error) {
      if (error instanceof RangeNotSatisfiableError) {
        reply.header('content-range', `bytes */${sizeBytes}`).header('content-type', undefined)
      }
      throw error
    }
  }

  /** Takes the answer out of the framework's hands, with the headers it has so far. */
  #hijack(reply: FastifyReply, status: number, gone: AbortSignal): Outlet {
    reply.hijack()
    reply.raw.writeHead(status, definedHeaders(reply))
    return new Outlet(reply.raw, gone)
  }

  #problemOf(error: unknown, request: FastifyRequest): Problem {
    return toldProblem(error, this.#parts.problems, request)
  }
}

function definedHeaders(reply: FastifyReply): Record<string, string | number | string[]> {
  const entries = Object.entries(reply.getHeaders())
  return Object.fromEntries(entries.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))
}

function rawRequest({ params, query, body, headers }: FastifyRequest): RawRequest {
  return {
    params: params as RawRequest['params'],
    query: query as RawRequest['query'],
    body: body ?? undefined,
    headers,
  }
}

function written(route: Route, value: unknown): WrittenAnswer {
  const { answer } = route
  return { status: answer.status, text: answer.kind === 'empty' ? '' : writeAnswer(route, value) }
}

function callerName({ userId, keyId, machine, actor }: Caller): string {
  if (userId !== null) return `user:${userId}`
  if (keyId !== null) return `key:${keyId}`
  return machine === null ? actor : `machine:${machine.id}`
}
