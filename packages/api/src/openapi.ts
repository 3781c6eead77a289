import { z } from 'zod'
import type { Answer } from './contract/answer.ts'
import { everyRoute, type NamedRoute } from './contract/every-route.ts'
import {
  eventIdPattern,
  idempotencyHeader,
  idempotencyKeyPattern,
  lastEventHeader,
  organisationHeader,
} from './contract/headers.ts'
import { parametersOf } from './contract/path.ts'
import { schemaRegistry } from './contract/registry.ts'
import { apiPrefix, problemsOf, type Route, type RouteTable } from './contract/route.ts'
import { isOrganisational } from './permissions.ts'
import { problemMediaType, problemSchema } from './problem.ts'
import { type ProblemName, problemNames, problemTypes, problemUri } from './problem-types.ts'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
type JsonObject = { readonly [key: string]: Json }

export interface DocumentFacts {
  readonly title: string
  readonly version: string
  readonly description: string
  /** By group of the table. */
  readonly groups: Readonly<Record<string, string>>
}

const componentRef = (id: string): JsonObject => ({ $ref: `#/components/schemas/${id}` })

/** Keys in order, so that the document changes only where the API does. */
function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted)
  if (value === null || typeof value !== 'object') return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, item]) => [key, sorted(item)]))
}

/** Points into the document's components instead of the schema's own definitions. */
function relocate(value: Json): Json {
  if (Array.isArray(value)) return value.map(relocate)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      key === '$ref' && typeof item === 'string'
        ? item.replace(/^#\/\$defs\//, '#/components/schemas/')
        : relocate(item),
    ]),
  )
}

const without = (object: JsonObject, keys: readonly string[]): JsonObject =>
  Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)))

/** Schemas as the document writes them, each named one once. */
class SchemaWriter {
  readonly components = new Map<string, Json>()

  /** What a sender may write. */
  write(schema: z.ZodType): JsonObject {
    return this.#write(schema, 'input')
  }

  /** What a query field is once read: the number, not the text it is sent as. */
  writeRead(schema: z.ZodType): JsonObject {
    return this.#write(schema, 'output')
  }

  #write(schema: z.ZodType, io: 'input' | 'output'): JsonObject {
    const whole = z.toJSONSchema(schema, { metadata: schemaRegistry, io, target: 'draft-2020-12' })
    // What the library gives is JSON; its type only says so less plainly.
    const { $defs = {}, ...own } = relocate(whole as unknown as JsonObject) as JsonObject
    for (const [id, definition] of Object.entries($defs as JsonObject)) this.#define(id, definition)
    const id = schemaRegistry.get(schema)?.id
    if (id === undefined || '$ref' in own) return without(own, ['$schema', 'id'])
    this.#define(id, own)
    return componentRef(id)
  }

  #define(id: string, definition: Json): void {
    this.components.set(id, without(definition as JsonObject, ['$schema', 'id']))
  }
}

const headerParameter = (name: string, pattern: RegExp, description: string): JsonObject => ({
  name,
  in: 'header',
  required: false,
  description,
  schema: { type: 'string', pattern: pattern.source },
})

const sharedParameters: Readonly<Record<string, JsonObject>> = {
  IdempotencyKey: headerParameter(
    idempotencyHeader,
    idempotencyKeyPattern,
    'A repeated call with the same key and body is answered as the first one was, and does nothing more.',
  ),
  LastEventId: headerParameter(lastEventHeader, eventIdPattern, 'The last event that was seen.'),
  Organisation: headerParameter(
    organisationHeader,
    /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/,
    'Which organisation a signed-in person means; needed by people who are in several.',
  ),
  Range: headerParameter('range', /^bytes=\d+-\d*$/, 'Which bytes are wanted.'),
}

const parameterRef = (name: string): JsonObject => ({ $ref: `#/components/parameters/${name}` })

function parameters(route: Route, writer: SchemaWriter): Json[] {
  const path = parametersOf(route.path).map((name) => ({
    name,
    in: 'path',
    required: true,
    schema: writer.write(route.params[name]!),
  }))
  const query = Object.entries(route.query?.shape ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, schema]) => ({
      name,
      in: 'query',
      required: false,
      schema: writer.writeRead(schema as z.ZodType),
    }))
  return [
    ...path,
    ...query,
    ...(isOrganisational(route.permission) ? [parameterRef('Organisation')] : []),
    ...(route.idempotencyKey ? [parameterRef('IdempotencyKey')] : []),
    ...(route.answer.kind === 'stream' ? [parameterRef('LastEventId')] : []),
    ...(route.answer.kind === 'bytes' ? [parameterRef('Range')] : []),
  ]
}

function success(answer: Answer, writer: SchemaWriter): Readonly<Record<string, JsonObject>> {
  switch (answer.kind) {
    case 'json':
    case 'page':
      return {
        [answer.status]: {
          description: answer.status === 202 ? 'Accepted; it is being done.' : 'Done.',
          content: { 'application/json': { schema: writer.write(answer.schema) } },
        },
      }
    case 'stream':
      return {
        200: {
          description:
            'Server-sent events, the data of each one document. `event: end` ends the stream for good.',
          content: { 'text/event-stream': { schema: writer.write(answer.event) } },
        },
      }
    case 'bytes': {
      const content = { [answer.contentType]: { schema: { type: 'string', format: 'binary' } } }
      return {
        200: { description: 'All bytes.', content },
        206: { description: 'The bytes asked for.', content },
      }
    }
    case 'empty':
      return { 204: { description: 'Done.' } }
  }
}

/** Problems with the same status are one response of the document. */
function problems(names: readonly ProblemName[], writer: SchemaWriter): Readonly<Record<string, JsonObject>> {
  const schema = writer.write(problemSchema)
  const byStatus = new Map<number, ProblemName[]>()
  for (const name of names) {
    const { status } = problemTypes[name]
    byStatus.set(status, [...(byStatus.get(status) ?? []), name])
  }
  return Object.fromEntries(
    Array.from(byStatus, ([status, group]) => [
      status,
      {
        description: group.map((name) => `${problemTypes[name].title} (\`${problemUri(name)}\`).`).join(' '),
        content: { [problemMediaType]: { schema } },
      },
    ]),
  )
}

function security({ permission }: Route): Json[] {
  if (permission === 'public') return []
  if (permission === 'account') return [{ session: [] }]
  if (permission === 'worker:use') return [{ machine: [] }]
  return [{ key: [] }, { session: [] }]
}

function operation({ id, group, route }: NamedRoute, writer: SchemaWriter): JsonObject {
  return {
    operationId: id,
    tags: [group],
    summary: route.summary,
    ...(route.description && { description: route.description }),
    parameters: parameters(route, writer),
    ...(route.body && {
      requestBody: { required: true, content: { 'application/json': { schema: writer.write(route.body) } } },
    }),
    responses: { ...success(route.answer, writer), ...problems(problemsOf(route), writer) },
    security: security(route),
    'x-permission': route.permission,
  }
}

/** The API as an OpenAPI 3.1 document: the same table gives the same bytes. */
export function openApiDocument(table: RouteTable, facts: DocumentFacts): JsonObject {
  const writer = new SchemaWriter()
  const paths: Record<string, Record<string, Json>> = {}
  for (const named of everyRoute(table)) {
    const path = `${apiPrefix}${named.route.path}`
    paths[path] = { ...paths[path], [named.route.method.toLowerCase()]: operation(named, writer) }
  }
  const document: JsonObject = {
    openapi: '3.1.1',
    info: { title: facts.title, version: facts.version, description: facts.description },
    tags: Object.keys(table)
      .sort()
      .map((name) => ({ name, description: facts.groups[name] ?? '' })),
    paths,
    components: {
      schemas: Object.fromEntries(writer.components),
      parameters: sharedParameters,
      securitySchemes: {
        key: { type: 'http', scheme: 'bearer', description: 'An API key: `deos_k_…`.' },
        machine: { type: 'http', scheme: 'bearer', description: 'What a machine got when it joined.' },
        session: { type: 'apiKey', in: 'cookie', name: 'deos_session', description: 'Set by signing in.' },
      },
    },
    'x-problem-types': problemNames.map((name) => ({ type: problemUri(name), ...problemTypes[name] })),
  }
  return sorted(document) as JsonObject
}
