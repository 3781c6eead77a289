import { describe, expect, test } from 'vitest'
import { everyRoute } from './contract/every-route.ts'
import { parametersOf } from './contract/path.ts'
import { apiPrefix, problemsOf } from './contract/route.ts'
import { apiDocument } from './index.ts'
import type { Json } from './openapi.ts'
import { problemTypes } from './problem-types.ts'
import { routes } from './routes/index.ts'

type Node = Readonly<Record<string, Json>>

const document = apiDocument('1.2.3')

const isNode = (value: Json | undefined): value is Node =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A node below another; fails where there is none. */
function at(root: Json, ...path: readonly string[]): Node {
  const found = path.reduce<Json | undefined>((node, key) => (isNode(node) ? node[key] : undefined), root)
  if (!isNode(found)) throw new Error(`There is nothing at ${path.join(' > ')}.`)
  return found
}

function* nodes(value: Json): Generator<Node> {
  if (Array.isArray(value)) for (const item of value) yield* nodes(item)
  if (!isNode(value)) return
  yield value
  for (const item of Object.values(value)) yield* nodes(item)
}

const schemas = at(document, 'components', 'schemas')
const types = ['array', 'boolean', 'integer', 'null', 'number', 'object', 'string']

/** Keywords of JSON Schema 2020-12 that this API uses; another one here is worth a look. */
const keywords = new Set([
  ...['$ref', 'additionalProperties', 'anyOf', 'const', 'default', 'description', 'enum', 'examples'],
  ...[
    'exclusiveMaximum',
    'exclusiveMinimum',
    'format',
    'items',
    'maxItems',
    'maxLength',
    'maximum',
    'minItems',
  ],
  ...['minLength', 'minimum', 'oneOf', 'pattern', 'properties', 'propertyNames', 'required', 'type', 'allOf'],
])

function checkSchema(schema: Json, where: string): void {
  if (typeof schema === 'boolean') return
  if (!isNode(schema)) throw new Error(`${where} is no schema.`)
  for (const key of Object.keys(schema)) expect(keywords.has(key), `${where}: ${key}`).toBe(true)
  const {
    type,
    properties,
    required,
    items,
    additionalProperties,
    propertyNames,
    pattern,
    enum: options,
  } = schema
  for (const name of [type ?? []].flat()) expect(types, where).toContain(name)
  if (typeof pattern === 'string') expect(() => new RegExp(pattern, 'u'), where).not.toThrow()
  if (options !== undefined) expect(options, where).not.toHaveLength(0)
  // Records of a few known keys name them by `propertyNames`.
  const known = isNode(propertyNames) ? (propertyNames.enum as string[]) : Object.keys(properties ?? {})
  expect(known, where).toEqual(expect.arrayContaining((required ?? []) as string[]))
  if (isNode(properties)) {
    for (const [name, field] of Object.entries(properties)) checkSchema(field, `${where}.${name}`)
  }
  if (type === 'array') expect(items, where).toBeDefined()
  for (const part of [items, additionalProperties, propertyNames]) {
    if (part !== undefined) checkSchema(part, where)
  }
  for (const name of ['anyOf', 'oneOf', 'allOf'] as const) {
    for (const part of (schema[name] ?? []) as readonly Json[]) checkSchema(part, where)
  }
}

describe('the document', () => {
  test('says what it is', () => {
    expect(document).toMatchObject({ openapi: '3.1.1', info: { title: 'DeOS', version: '1.2.3' } })
    expect((document.tags as Node[]).map(({ name }) => name)).toEqual(Object.keys(routes).sort())
    for (const { description } of document.tags as Node[]) expect(description).toMatch(/\.$/)
  })

  test('is the same every time, with keys in order', () => {
    expect(JSON.stringify(apiDocument('1.2.3'))).toBe(JSON.stringify(document))
    for (const node of nodes(document)) {
      const keys = Object.keys(node)
      const whole = keys.filter((key) => /^\d+$/.test(key))
      // Objects put whole numbers first, whatever order they were given in.
      expect(keys.slice(whole.length)).toEqual(keys.slice(whole.length).sort())
    }
  })

  test('is JSON and nothing else', () => {
    expect(JSON.parse(JSON.stringify(document))).toEqual(document)
  })

  test('refers only to what it has', () => {
    for (const { $ref } of nodes(document)) {
      if ($ref === undefined) continue
      const path = String($ref).replace(/^#\//, '').split('/')
      expect(() => at(document, ...path), String($ref)).not.toThrow()
    }
  })

  test('has no schema that nobody uses, and none without a plain name', () => {
    const text = JSON.stringify(document)
    for (const id of Object.keys(schemas)) {
      expect(id).toMatch(/^[A-Z][A-Za-z]*$/)
      expect(text, id).toContain(`"#/components/schemas/${id}"`)
    }
  })
})

test.each(Object.entries(schemas))('schema %s is one of JSON Schema 2020-12', (name, schema) => {
  checkSchema(schema, name)
})

const all = everyRoute(routes)

describe.each(all)('$id', ({ id, group, route }) => {
  const operation = at(document, 'paths', `${apiPrefix}${route.path}`, route.method.toLowerCase())
  const responses = at(operation, 'responses')
  const parameters = (operation.parameters as Node[]).map((parameter) =>
    typeof parameter.$ref === 'string' ? at(document, ...parameter.$ref.slice(2).split('/')) : parameter,
  )
  const named = (place: string) =>
    parameters.filter((parameter) => parameter.in === place).map(({ name }) => name)

  test('is there with all its parameters', () => {
    expect(operation).toMatchObject({ operationId: id, tags: [group], 'x-permission': route.permission })
    expect(named('path')).toEqual(parametersOf(route.path))
    expect(named('query')).toEqual(Object.keys(route.query?.shape ?? {}).sort())
    expect(named('header').includes('idempotency-key')).toBe(route.idempotencyKey)
    expect(named('header').includes('last-event-id')).toBe(route.answer.kind === 'stream')
    for (const parameter of parameters) {
      expect(parameter.required).toBe(parameter.in === 'path')
      checkSchema(parameter.schema!, `${id} ${String(parameter.name)}`)
    }
  })

  test('has its body, its answer and each of its problems', () => {
    if (route.body === null) expect(operation.requestBody).toBeUndefined()
    else
      expect(at(operation, 'requestBody', 'content', 'application/json', 'schema').$ref).toMatch(
        /schemas\/[A-Z]/,
      )
    const answer = at(responses, String(route.answer.status))
    if (route.answer.kind === 'empty') expect(answer.content).toBeUndefined()
    else expect(Object.values(at(answer, 'content'))).toHaveLength(1)
    if (route.answer.kind === 'json' || route.answer.kind === 'page') {
      expect(at(answer, 'content', 'application/json', 'schema').$ref).toMatch(/schemas\/[A-Z]/)
    }
    const statuses = problemsOf(route).map((name) => String(problemTypes[name].status))
    const more = route.answer.kind === 'bytes' ? ['206'] : []
    expect(Object.keys(responses).sort()).toEqual(
      [...new Set([String(route.answer.status), ...more, ...statuses])].sort(),
    )
    for (const name of problemsOf(route)) {
      const response = at(responses, String(problemTypes[name].status))
      expect(response.description).toContain(`urn:deos:problem:${name}`)
    }
  })

  test('says who may call', () => {
    const open = route.permission === 'public'
    expect(operation.security).toHaveLength(
      open ? 0 : route.permission.includes(':') && route.permission !== 'worker:use' ? 2 : 1,
    )
  })
})

test('query fields are what they mean, not the text they are sent as', () => {
  const list = at(document, 'paths', '/api/v1/machines', 'get')
  const schemaOf = (name: string) => (list.parameters as Node[]).find((field) => field.name === name)?.schema
  expect(schemaOf('limit')).toMatchObject({ type: 'integer', minimum: 1, maximum: 200, default: 50 })
  expect(schemaOf('state')).toMatchObject({
    type: 'array',
    items: { enum: expect.arrayContaining(['ready']) },
  })
})

test('bodies refuse what they do not know; answers may grow', () => {
  expect(at(schemas, 'ApiKeyCreate').additionalProperties).toBe(false)
  expect(at(schemas, 'ApiKeyCreate').required).toEqual(['name'])
  expect(at(schemas, 'ApiKey').additionalProperties).toBeUndefined()
  expect(at(schemas, 'ApiKey', 'properties')).not.toHaveProperty('secret')
})
