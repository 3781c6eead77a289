import type { z } from 'zod'
import type { Fetch } from '../client/client.ts'
import { everyRoute, type NamedRoute } from '../contract/every-route.ts'
import { matchPath } from '../contract/path.ts'
import { apiPrefix, type Route, type RouteTable } from '../contract/route.ts'
import { ProblemError, problemFor, problemMediaType } from '../problem.ts'
import { type Handlers, type RawRequest, readRequest, streamEnd, writeAnswer, writeEvent } from '../server.ts'
import { sampleOf, samplesOf } from './sample.ts'

/** What a mock does otherwise than to answer with samples. */
export type MockHandlers<Table extends RouteTable> = {
  readonly [Group in keyof Handlers<Table, undefined>]?: Partial<Handlers<Table, undefined>[Group]>
}

type AnyHandler = (request: unknown, context: undefined) => unknown

const sampledItems = 3

/** Deterministic answers in the form that handlers give them. */
function sampleAnswer({ answer }: Route): unknown {
  switch (answer.kind) {
    case 'json':
      return sampleOf(answer.schema)
    case 'page':
      return {
        items: samplesOf(answer.schema.shape.items.element as z.ZodType, sampledItems),
        nextCursor: null,
      }
    case 'stream':
      return eventsOf(answer.event)
    case 'bytes':
      return [new TextEncoder().encode('sample')]
    case 'empty':
      return undefined
  }
}

function* eventsOf(schema: z.ZodType) {
  for (let index = 0; index < sampledItems; index += 1) {
    yield { id: String(index + 1), data: sampleOf(schema, index) }
  }
}

function queryOf(search: URLSearchParams): RawRequest['query'] {
  const names = [...new Set(search.keys())]
  return Object.fromEntries(
    names.map((name) => {
      const values = search.getAll(name)
      return [name, values.length === 1 ? values[0] : values]
    }),
  )
}

function readBody(body: unknown): unknown {
  if (typeof body !== 'string') return undefined
  try {
    return JSON.parse(body)
  } catch (cause) {
    throw new ProblemError('malformed', 'The body is not JSON.', { cause })
  }
}

async function* chunksOf(route: Route, value: unknown): AsyncGenerator<Uint8Array> {
  if (route.answer.kind === 'bytes') {
    yield* value as AsyncIterable<Uint8Array>
    return
  }
  const encoder = new TextEncoder()
  for await (const { id, data } of value as AsyncIterable<{ id: string | null; data: unknown }>) {
    yield encoder.encode(writeEvent(route, id, data))
  }
  yield encoder.encode(streamEnd)
}

function bodyOf(chunks: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await chunks.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    async cancel() {
      await chunks.return(undefined)
    },
  })
}

function responseOf(route: Route, value: unknown): Response {
  const { answer } = route
  switch (answer.kind) {
    case 'empty':
      return new Response(null, { status: 204 })
    case 'json':
    case 'page':
      return new Response(writeAnswer(route, value), {
        status: answer.status,
        headers: { 'content-type': 'application/json' },
      })
    case 'stream':
    case 'bytes':
      return new Response(bodyOf(chunksOf(route, value)), {
        headers: { 'content-type': answer.kind === 'stream' ? 'text/event-stream' : answer.contentType },
      })
  }
}

function refusal(error: unknown): Response {
  const problem = problemFor(error, {}, null)
  return new Response(JSON.stringify(problem), {
    status: problem.status,
    headers: { 'content-type': problemMediaType },
  })
}

/** The API without a server: a `fetch` that checks requests as the server does and answers with samples. */
export class MockApi<Table extends RouteTable> {
  readonly #routes: readonly NamedRoute[]
  readonly #handlers: MockHandlers<Table>
  /** Routes called so far: `machines.list`. */
  readonly calls: string[] = []

  constructor(table: Table, handlers: MockHandlers<Table> = {}) {
    this.#routes = everyRoute(table)
    this.#handlers = handlers
  }

  readonly fetch: Fetch = async (url, init) => {
    try {
      return await this.#answer(new URL(url, 'http://mock.invalid'), init)
    } catch (error) {
      return refusal(error)
    }
  }

  async #answer(url: URL, init: RequestInit): Promise<Response> {
    const method = init.method ?? 'GET'
    const pathname = url.pathname.slice(apiPrefix.length)
    for (const { id, group, name, route } of this.#routes) {
      const params = route.method === method ? matchPath(route.path, pathname) : null
      if (params === null || !url.pathname.startsWith(apiPrefix)) continue
      this.calls.push(id)
      const request = readRequest(route, {
        params,
        query: queryOf(url.searchParams),
        body: readBody(init.body),
        headers: Object.fromEntries(new Headers(init.headers)),
      })
      const handler = this.#handlerOf(group, name)
      return responseOf(route, handler === null ? sampleAnswer(route) : await handler(request, undefined))
    }
    throw new ProblemError('not-found', `There is no ${method} ${url.pathname}.`)
  }

  #handlerOf(group: string, name: string): AnyHandler | null {
    // Any group may be missing, and any handler within it.
    const handlers = this.#handlers as Readonly<
      Record<string, Readonly<Record<string, AnyHandler>> | undefined>
    >
    return handlers[group]?.[name] ?? null
  }
}
