import { GrammarError } from './errors.ts'
import type { SchemaNode } from './schema-reader.ts'
import { shown } from './schema-reader.ts'
import { type JsonObject, pointer } from './spec.ts'

export type JsonType = 'null' | 'boolean' | 'integer' | 'number' | 'string' | 'array' | 'object'

const allTypes: ReadonlySet<string> = new Set<JsonType>([
  'null',
  'boolean',
  'integer',
  'number',
  'string',
  'array',
  'object',
])

/** Which types a keyword speaks of; a schema without `type` that uses one is read as one of those types. */
const impliedTypes: ReadonlyMap<string, JsonType> = new Map<string, JsonType>([
  ['properties', 'object'],
  ['required', 'object'],
  ['additionalProperties', 'object'],
  ['unevaluatedProperties', 'object'],
  ['propertyNames', 'object'],
  ['minProperties', 'object'],
  ['maxProperties', 'object'],
  ['items', 'array'],
  ['prefixItems', 'array'],
  ['additionalItems', 'array'],
  ['minItems', 'array'],
  ['maxItems', 'array'],
  ['uniqueItems', 'array'],
  ['minLength', 'string'],
  ['maxLength', 'string'],
  ['pattern', 'string'],
  ['format', 'string'],
  ['minimum', 'number'],
  ['maximum', 'number'],
  ['exclusiveMinimum', 'number'],
  ['exclusiveMaximum', 'number'],
  ['multipleOf', 'number'],
])

const otherAssertions = ['type', 'enum', 'const', 'anyOf', 'oneOf']

/** Whether the schema says anything by itself, references and `allOf` aside. */
export function assertsSomething(schema: JsonObject): boolean {
  return Object.keys(schema).some((key) => impliedTypes.has(key) || otherAssertions.includes(key))
}

/** Whether the schema speaks of what is inside arrays or objects. */
export function constrainsMembers(schema: JsonObject): boolean {
  return Object.keys(schema).some((key) => {
    const type = impliedTypes.get(key)
    return type === 'array' || type === 'object'
  })
}

/** Types that all of the schemas allow; `number` stands for whole numbers too. */
export function commonTypes(nodes: readonly SchemaNode[]): ReadonlySet<JsonType> {
  let common: ReadonlySet<JsonType> | null = null
  for (const node of nodes) {
    const stated = statedTypes(node)
    if (stated) common = common === null ? stated : intersectTypes(common, stated)
  }
  if (common !== null) return common
  const implied = nodes.flatMap((node) =>
    Object.keys(node.schema).flatMap((keyword) => impliedTypes.get(keyword) ?? []),
  )
  return new Set(implied.length > 0 ? implied : (allTypes as ReadonlySet<JsonType>))
}

function statedTypes({ schema, path }: SchemaNode): ReadonlySet<JsonType> | null {
  const { type, nullable } = schema as JsonObject
  if (type === undefined) return null
  const listed: readonly unknown[] = Array.isArray(type) ? type : [type]
  for (const [i, name] of listed.entries()) {
    if (typeof name === 'string' && allTypes.has(name)) continue
    const at = Array.isArray(type) ? pointer(pointer(path, 'type'), i) : pointer(path, 'type')
    throw new GrammarError(
      `The type at ${shown(at)} is ${JSON.stringify(name)}.`,
      `It must be one of ${[...allTypes].join(', ')}.`,
      at,
    )
  }
  const types = new Set(listed as readonly JsonType[])
  if (types.has('number')) types.delete('integer')
  if (nullable === true) types.add('null')
  return types
}

export function intersectTypes(a: ReadonlySet<JsonType>, b: ReadonlySet<JsonType>): ReadonlySet<JsonType> {
  const common = new Set([...a].filter((type) => b.has(type)))
  if ((a.has('integer') && b.has('number')) || (a.has('number') && b.has('integer'))) common.add('integer')
  return common
}

export function typeOf(value: unknown): JsonType {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value as JsonType
}

export function hasType(types: ReadonlySet<JsonType>, value: unknown): boolean {
  const type = typeOf(value)
  return types.has(type) || (type === 'integer' && types.has('number'))
}

/** Values of `enum` and `const` that all schemas name; `null` if none of them names any. */
export function commonValues(nodes: readonly SchemaNode[]): readonly unknown[] | null {
  let common: Map<string, unknown> | null = null
  const narrow = (values: readonly unknown[]): void => {
    const named = new Map(values.map((value) => [canonical(value), value]))
    if (common === null) common = named
    else common = new Map([...common].filter(([key]) => named.has(key)))
  }
  for (const { schema, path } of nodes) {
    const { enum: values, const: only } = schema as JsonObject
    if (values !== undefined) narrow(readArray(values, pointer(path, 'enum')))
    if (only !== undefined) narrow([only])
  }
  return common === null ? null : [...(common as Map<string, unknown>).values()]
}

/** Equal for equal JSON values, whatever the order of their keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

export function readArray(value: unknown, path: string): readonly unknown[] {
  if (Array.isArray(value) && value.length > 0) return value
  throw new GrammarError(
    `The schema has ${JSON.stringify(value)} at ${shown(path)}.`,
    'It must be an array that is not empty.',
    path,
  )
}

/** A count such as `maxItems`; `null` if the schema does not set it. */
function readCount({ schema, path }: SchemaNode, keyword: string): number | null {
  const value = (schema as JsonObject)[keyword]
  if (value === undefined) return null
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value
  const at = pointer(path, keyword)
  throw new GrammarError(
    `${keyword} at ${shown(at)} is ${JSON.stringify(value)}.`,
    'It must be a whole number that is not negative.',
    at,
  )
}

/** The strictest of a lower and an upper count over all schemas. */
export function readCounts(
  nodes: readonly SchemaNode[],
  minKeyword: string,
  maxKeyword: string,
): { min: number; max: number | null } {
  let min = 0
  let max: number | null = null
  for (const node of nodes) {
    min = Math.max(min, readCount(node, minKeyword) ?? 0)
    const most = readCount(node, maxKeyword)
    if (most !== null) max = max === null ? most : Math.min(max, most)
  }
  return { min, max }
}
