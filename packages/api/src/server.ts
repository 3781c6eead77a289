import type { z } from 'zod'
import {
  eventIdPattern,
  idempotencyHeader,
  idempotencyKeyPattern,
  lastEventHeader,
} from './contract/headers.ts'
import { apiPrefix, type Route, type RouteTable } from './contract/route.ts'
import type { AnswerOf, RequestOf } from './contract/route-types.ts'
import type { Problem } from './problem.ts'
import { checkInput, type FieldProblem, type Parsed, ValidationError } from './validation.ts'

/** A request as HTTP frameworks hand it over: text decoded, nothing checked. */
export interface RawRequest {
  readonly params: Readonly<Record<string, string | undefined>>
  /** Repeated fields as lists. */
  readonly query: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Parsed JSON; `undefined` if there was no body. */
  readonly body: unknown
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
}

/** A handler for every route of a table. `Context` is the server's own: who asks, a signal, a log. */
export type Handlers<Table extends RouteTable, Context> = {
  readonly [Group in keyof Table]: {
    readonly [Name in keyof Table[Group]]: (
      request: RequestOf<Table[Group][Name]>,
      context: Context,
    ) => Promise<AnswerOf<Table[Group][Name]>> | AnswerOf<Table[Group][Name]>
  }
}

/** The path as routers with colons write it: `/api/v1/machines/:machine`. */
export const routerPath = ({ path }: Pick<Route, 'path'>): string =>
  apiPrefix + path.replace(/\{([A-Za-z]+)\}/g, ':$1')

/** Takes values out of checks and gathers what is wrong, so that one answer names it all. */
class Findings {
  readonly problems: FieldProblem[] = []

  take<T>(parsed: Parsed<T>): T | undefined {
    if (parsed.ok) return parsed.value
    this.problems.push(...parsed.problems)
    return undefined
  }

  header(raw: RawRequest, name: string, pattern: RegExp): string | null {
    const value = raw.headers[name]
    if (value === undefined) return null
    if (typeof value === 'string' && pattern.test(value)) return value
    this.problems.push({
      in: 'header',
      field: name,
      message: 'must be 1 to 128 letters, digits, "_", ".", ":" and "-"',
    })
    return null
  }
}

/** Only what routers decoded of their own accord counts; a query or path never reaches a prototype. */
const plain = (values: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))

function readParams(route: Route, raw: RawRequest, findings: Findings): Record<string, string | undefined> {
  const entries = Object.entries(route.params).map(([name, schema]) => {
    const value = Object.hasOwn(raw.params, name) ? raw.params[name] : undefined
    const parsed = checkInput(schema, value, 'path')
    if (parsed.ok) return [name, parsed.value] as const
    findings.problems.push(...parsed.problems.map((problem) => ({ ...problem, field: name })))
    return [name, undefined] as const
  })
  return Object.fromEntries(entries)
}

/**
 * Checks a request against its route.
 *
 * @throws ValidationError naming every field that does not fit, wherever it stands
 */
export function readRequest<R extends Route>(route: R, raw: RawRequest): RequestOf<R> {
  const findings = new Findings()
  const query = route.query as z.ZodType | null
  const body = route.body as z.ZodType | null
  const read = {
    params: readParams(route, raw, findings),
    query: query && findings.take(checkInput(query, plain(raw.query), 'query')),
    body: body && findings.take(checkInput(body, raw.body, 'body')),
    idempotencyKey: route.idempotencyKey
      ? findings.header(raw, idempotencyHeader, idempotencyKeyPattern)
      : null,
    lastEventId:
      route.answer.kind === 'stream' ? findings.header(raw, lastEventHeader, eventIdPattern) : null,
  }
  if (findings.problems.length > 0) throw new ValidationError(findings.problems)
  // Each part was just made by the schema from which its type comes.
  return read as RequestOf<R>
}

/** An answer does not fit what the contract promises: a fault of the server. */
export class ContractBrokenError extends Error {
  override readonly name = 'ContractBrokenError'
}

function conform<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const parsed = checkInput(schema, value, 'body')
  if (parsed.ok) return parsed.value
  const [first] = parsed.problems
  throw new ContractBrokenError(`${what}: ${first?.field} ${first?.message}.`)
}

/**
 * The JSON of an answer. Fields that the contract does not have are left out, so nothing leaves that was not meant to.
 *
 * @throws ContractBrokenError if something is missing or wrong
 */
export function writeAnswer(route: Route, value: unknown): string {
  const { answer } = route
  if (answer.kind !== 'json' && answer.kind !== 'page') {
    throw new ContractBrokenError(`${route.method} ${route.path} does not answer with one document.`)
  }
  return JSON.stringify(conform(answer.schema, value, `The answer of ${route.method} ${route.path}`))
}

/** Asks clients to wait this long before they come back to a broken stream. */
export const streamPreamble = 'retry: 1000\n\n'
/** Keeps a silent stream alive. */
export const streamPing = ': ping\n\n'
/** Tells that the stream is over for good; what merely breaks off is connected to again. */
export const streamEnd = 'event: end\ndata: {}\n\n'

/** One event in the framing of server-sent events. */
export function writeEvent(route: Route, id: string | null, data: unknown): string {
  const { answer } = route
  if (answer.kind !== 'stream') {
    throw new ContractBrokenError(`${route.method} ${route.path} does not answer with events.`)
  }
  if (id !== null && !eventIdPattern.test(id)) throw new ContractBrokenError('The id of an event is not one.')
  const checked = conform(answer.event, data, `An event of ${route.method} ${route.path}`)
  return `${id === null ? '' : `id: ${id}\n`}data: ${JSON.stringify(checked)}\n\n`
}

/** Trouble after a stream has begun; the stream ends with it. */
export const writeStreamProblem = (problem: Problem): string =>
  `event: problem\ndata: ${JSON.stringify(problem)}\n\n`
