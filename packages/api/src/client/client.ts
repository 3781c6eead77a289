import type { z } from 'zod'
import {
  idempotencyHeader,
  lastEventHeader,
  organisationHeader,
  requestIdHeader,
} from '../contract/headers.ts'
import { fillPath } from '../contract/path.ts'
import { apiPrefix, type Route, type RouteTable } from '../contract/route.ts'
import type { CallOf, Page, ResultOf } from '../contract/route-types.ts'
import { isOrganisational } from '../permissions.ts'
import { problemMediaType } from '../problem.ts'
import { ApiError, errorOf, parseJson } from './api-error.ts'
import { defaultReconnect, EventReader, type ReconnectPolicy, type Sleep } from './event-reader.ts'
import { queryString } from './query-string.ts'

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

export interface ClientOptions {
  /** Where the control plane is, without `/api/v1`: `http://127.0.0.1:7000`. Empty for pages it serves itself. */
  readonly baseUrl: string
  /** API key or machine credential; null in browsers, where a cookie speaks. */
  readonly token?: string | null
  /** Which organisation a person means; null if there is only one. */
  readonly organisation?: string | null
  readonly reconnect?: Partial<ReconnectPolicy>
}

export interface ClientParts {
  readonly fetch: Fetch
  readonly sleep?: Sleep
  readonly random?: () => number
}

type IsOptional<T> = Record<never, never> extends T ? true : false

/** One route as a function. The argument may be left out where nothing is needed. */
type Call<R extends Route> = (
  ...call: IsOptional<CallOf<R>> extends true ? [call?: CallOf<R>] : [call: CallOf<R>]
) => R['answer']['kind'] extends 'stream' | 'bytes' ? ResultOf<R> : Promise<ResultOf<R>>

/** Functions for every route, grouped as in the table: `client.machines.list()`. */
export type Client<Table extends RouteTable> = {
  readonly [Group in keyof Table]: { readonly [Name in keyof Table[Group]]: Call<Table[Group][Name]> }
}

/** Any call, before its route gives it a type. */
interface AnyCall {
  readonly params?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, unknown>>
  readonly body?: unknown
  readonly signal?: AbortSignal | undefined
  readonly idempotencyKey?: string | undefined
  readonly lastEventId?: string | undefined
  readonly range?: { readonly first: number; readonly end: number } | undefined
}

const realSleep: Sleep = (ms, signal) =>
  new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    }, ms)
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })

/** The bytes of a body. Leaving the loop early ends the transfer. */
async function* bytesOf(
  response: Response,
  origin: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  if (response.body === null) return
  const reader = response.body.getReader()
  // Fetch may have forgotten the signal; see the reader of events.
  const cancel = () => void reader.cancel().catch(() => {})
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((cause) => {
        throw ApiError.unreachable(origin, cause)
      })
      signal?.throwIfAborted()
      if (done) return
      yield value
    }
  } finally {
    signal?.removeEventListener('abort', cancel)
    await reader.cancel().catch(() => {})
  }
}

class Caller {
  readonly #options: ClientOptions
  readonly #parts: ClientParts
  readonly #origin: string

  constructor(options: ClientOptions, parts: ClientParts) {
    this.#options = options
    this.#parts = parts
    this.#origin = options.baseUrl.replace(/\/+$/, '')
  }

  call(route: Route, call: AnyCall): unknown {
    const { answer } = route
    if (answer.kind === 'stream') return this.#events(route, answer.event, call)
    if (answer.kind === 'bytes') return this.#bytes(route, call)
    return this.#document(route, call)
  }

  async #document(route: Route, call: AnyCall): Promise<unknown> {
    const { answer } = route
    const response = await this.#send(route, call)
    if (answer.kind !== 'json' && answer.kind !== 'page') {
      await response.body?.cancel()
      return undefined
    }
    const parsed = answer.schema.safeParse(parseJson(await this.#text(response)))
    if (parsed.success) return parsed.data
    throw ApiError.unexpected(
      `The answer to ${route.method} ${route.path} is not one this client knows`,
      response.status,
      response.headers.get(requestIdHeader),
    )
  }

  async #text(response: Response): Promise<string> {
    try {
      return await response.text()
    } catch (cause) {
      throw ApiError.unreachable(this.#origin, cause)
    }
  }

  async #bytes(route: Route, call: AnyCall): Promise<AsyncIterable<Uint8Array>> {
    const response = await this.#send(route, call)
    if (call.range !== undefined && response.status !== 206) {
      await response.body?.cancel()
      throw ApiError.unexpected('A part was asked for and the whole came', response.status, null)
    }
    return bytesOf(response, this.#origin, call.signal)
  }

  #events(route: Route, schema: z.ZodType, call: AnyCall): AsyncIterable<unknown> {
    const parts = {
      open: (lastEventId: string | null, signal: AbortSignal) =>
        this.#send(route, { ...call, signal, lastEventId: lastEventId ?? undefined }),
      reconnect: { ...defaultReconnect, ...this.#options.reconnect },
      sleep: this.#parts.sleep ?? realSleep,
      random: this.#parts.random ?? Math.random,
    }
    return {
      [Symbol.asyncIterator]: () =>
        new EventReader(schema, call.lastEventId ?? null, call.signal, parts).events(),
    }
  }

  #headers(route: Route, call: AnyCall): Record<string, string> {
    const { token, organisation } = this.#options
    const accept = { stream: 'text/event-stream', bytes: '*/*', json: 'application/json' }
    const kind = route.answer.kind === 'stream' || route.answer.kind === 'bytes' ? route.answer.kind : 'json'
    return {
      accept: `${accept[kind]}, ${problemMediaType}`,
      ...(token && { authorization: `Bearer ${token}` }),
      ...(organisation && isOrganisational(route.permission) && { [organisationHeader]: organisation }),
      ...(route.body !== null && { 'content-type': 'application/json' }),
      ...(call.idempotencyKey && { [idempotencyHeader]: call.idempotencyKey }),
      ...(call.lastEventId && { [lastEventHeader]: call.lastEventId }),
      ...(call.range && { range: `bytes=${call.range.first}-${call.range.end - 1}` }),
    }
  }

  async #send(route: Route, call: AnyCall): Promise<Response> {
    const path = fillPath(route.path, call.params ?? {})
    const url = `${this.#origin}${apiPrefix}${path}${queryString(call.query ?? {})}`
    const init: RequestInit = {
      method: route.method,
      headers: this.#headers(route, call),
      ...(route.body !== null && { body: JSON.stringify(call.body) }),
      ...(call.signal && { signal: call.signal }),
      // Nothing of the API redirects; a key must not follow where something between sends it.
      redirect: 'error',
    }
    let response: Response
    try {
      response = await this.#parts.fetch(url, init)
    } catch (cause) {
      call.signal?.throwIfAborted()
      throw ApiError.unreachable(this.#origin || 'The control plane', cause)
    }
    if (!response.ok) throw await errorOf(response)
    return response
  }
}

/**
 * A client of every route in a table. Nothing is tried twice, except that streams come back from where they broke off:
 * `ApiError.retriable` says whether trying again makes sense, and an idempotency key makes it safe.
 */
export function createClient<Table extends RouteTable>(
  table: Table,
  options: ClientOptions,
  parts: ClientParts,
): Client<Table> {
  const caller = new Caller(options, parts)
  const groups = Object.entries(table).map(([group, routes]) => {
    const calls = Object.entries(routes).map(([name, route]) => [
      name,
      (call: AnyCall = {}) => caller.call(route, call),
    ])
    return [group, Object.fromEntries(calls)]
  })
  // Made by the same table from which the type is.
  return Object.fromEntries(groups) as Client<Table>
}

/** Every item of a paginated list, page by page. */
export async function* eachItem<T, Q extends { readonly cursor?: string | undefined }>(
  list: (call: { readonly query?: Q | undefined }) => Promise<Page<T>>,
  query: NoInfer<Q>,
): AsyncGenerator<Page<T>['items'][number]> {
  let next: Q | null = query
  while (next !== null) {
    const { items, nextCursor }: Page<T> = await list({ query: next })
    yield* items
    next = nextCursor === null ? null : { ...query, cursor: nextCursor }
  }
}
