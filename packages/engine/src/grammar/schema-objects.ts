import { GrammarError } from './errors.ts'
import {
  choice,
  type Expression,
  type ExpressionAutomaton,
  impossible,
  nothing,
  sequence,
  text,
} from './expression.ts'
import { anyString, jsonColon, jsonSpace } from './json-text.ts'
import { readCounts } from './schema-facts.ts'
import { type SchemaNode, type SchemaReader, shown } from './schema-reader.ts'
import { acceptsText, quotedWhere, stringConditions } from './schema-strings.ts'
import { isJsonObject, type JsonObject, pointer } from './spec.ts'
import { noneOf, type TextAutomaton } from './text-automaton.ts'

/** How values are written: as JSON, or in part in some other way. */
export interface Notation {
  /** Tells it from the other notations of one grammar. */
  readonly name: string
  /** Whether it has no way to write anything else. */
  readonly objectsOnly: boolean
  /** A value that no schema restricts. */
  anything(compiler: ValueCompiler): Expression
  string(nodes: readonly SchemaNode[]): Expression
  object(nodes: readonly SchemaNode[], compiler: ValueCompiler): Expression
  /** @param value - as parsed from JSON; an object if nothing else can be written */
  literal(value: unknown): Expression
}

/** Compiles the schemas that a value must satisfy together. */
export interface ValueCompiler {
  readonly reader: SchemaReader
  readonly strict: boolean
  /** @param notation - default JSON */
  value(nodes: readonly SchemaNode[], notation?: Notation): Expression
  /** The schemas with their references and `allOf` followed; `null` if nothing satisfies them. */
  flatten(nodes: readonly SchemaNode[]): readonly SchemaNode[] | null
}

/** What stands around the names and values of an object. */
export interface ObjectLayout {
  readonly empty: Expression
  readonly open: Expression
  readonly separator: Expression
  readonly close: Expression
  name(content: string): Expression
  /** A name that satisfies all conditions. @param path - where they stand, for messages */
  freeName(conditions: readonly TextAutomaton[], path: string | null): Expression
  member(name: Expression, schemas: readonly SchemaNode[], compiler: ValueCompiler): Expression
}

const jsonLayout: ObjectLayout = {
  empty: text('{}'),
  open: sequence(text('{'), jsonSpace),
  separator: sequence(text(','), jsonSpace),
  close: sequence(jsonSpace, text('}')),
  name: (content) => text(JSON.stringify(content)),
  freeName: (conditions, path) => (conditions.length === 0 ? anyString : quotedWhere(() => conditions, path)),
  member: (name, schemas, compiler) => sequence(name, jsonColon, compiler.value(schemas)),
}

interface Member {
  readonly name: string
  readonly schemas: readonly SchemaNode[]
  readonly required: boolean
}

/** Properties in the order of their declaration, then those that only `required` names, then any others. */
export function objectExpression(
  nodes: readonly SchemaNode[],
  compiler: ValueCompiler,
  layout: ObjectLayout = jsonLayout,
): Expression {
  const { min, max } = readCounts(nodes, 'minProperties', 'maxProperties')
  const rest = openSchemas(nodes, compiler)
  const keys = keyConditions(nodes, compiler)
  if (keys === null) return impossible
  const members = readMembers(nodes, compiler, rest).filter(
    ({ name, required }) => required || acceptsText(keys, name),
  )
  if (members.some(({ name }) => !acceptsText(keys, name))) return impossible
  const requiredCount = members.filter(({ required }) => required).length
  if (rest !== null && min > requiredCount) refuseMinimum(nodes, min)

  const free = rest === null ? null : freeMember(members, keys, rest, compiler, layout)
  const listed = listMembers(members, free, { min: Math.max(min, 1), max, compiler, layout })
  const full = sequence(layout.open, listed, layout.close)
  if (min > 0 || requiredCount > 0) return full
  return max === 0 ? layout.empty : choice(layout.empty, full)
}

function readMembers(
  nodes: readonly SchemaNode[],
  { reader }: ValueCompiler,
  rest: readonly SchemaNode[] | null,
): readonly Member[] {
  const required = new Set(nodes.flatMap(readRequired))
  const names = new Set(nodes.flatMap((node) => Object.keys(readProperties(node))))
  const declared = [...names].map((name) => {
    const schemas = nodes.flatMap((node) => {
      if (Object.hasOwn(readProperties(node), name)) return [reader.child(node, 'properties', name)]
      return additionalSchema(node, reader) ?? []
    })
    return { name, schemas, required: required.has(name) }
  })
  const undeclared = [...required]
    .filter((name) => !names.has(name))
    .map((name) => ({
      name,
      schemas: rest ?? [reader.node(false, `${nodes[0]!.path} closed`)],
      required: true,
    }))
  return [...declared, ...undeclared]
}

function readProperties({ schema, path }: SchemaNode): JsonObject {
  const { properties } = schema as JsonObject
  if (properties === undefined) return {}
  if (isJsonObject(properties)) return properties
  const at = pointer(path, 'properties')
  throw new GrammarError(`properties at ${shown(at)} is no object.`, 'It maps names to schemas.', at)
}

function readRequired({ schema, path }: SchemaNode): readonly string[] {
  const { required } = schema as JsonObject
  // Draft 3 marked a property as required inside its own schema.
  if (required === undefined || typeof required === 'boolean') return []
  if (Array.isArray(required) && required.every((name) => typeof name === 'string')) return required
  const at = pointer(path, 'required')
  throw new GrammarError(
    `required at ${shown(at)} is ${JSON.stringify(required)}.`,
    'It must list names.',
    at,
  )
}

/** What the schema says of properties it does not declare; `null` if nothing. */
function additionalSchema(node: SchemaNode, reader: SchemaReader): SchemaNode | null {
  const schema = node.schema as JsonObject
  if (schema.unevaluatedProperties !== undefined && schema.unevaluatedProperties !== true) {
    const applicator = ['$ref', 'allOf', 'anyOf', 'oneOf'].find((keyword) => schema[keyword] !== undefined)
    const at = pointer(node.path, 'unevaluatedProperties')
    if (applicator !== undefined)
      throw new GrammarError(
        `"unevaluatedProperties" at ${shown(at)} cannot be enforced beside "${applicator}".`,
        'Put additionalProperties: false into each branch.',
        at,
      )
    if (schema.additionalProperties === undefined) return reader.child(node, 'unevaluatedProperties')
  }
  return schema.additionalProperties === undefined ? null : reader.child(node, 'additionalProperties')
}

/** What properties that no schema declares must satisfy; `null` where there are none. */
function openSchemas(
  nodes: readonly SchemaNode[],
  { reader, strict }: ValueCompiler,
): readonly SchemaNode[] | null {
  const stated = nodes.flatMap((node) => additionalSchema(node, reader) ?? [])
  if (stated.some(({ schema }) => schema === false)) return null
  if (stated.length > 0) return stated
  const declares = nodes.some((node) => Object.keys(readProperties(node)).length > 0)
  return declares || strict ? null : []
}

/** Conditions on every name; `null` if no name satisfies them. */
function keyConditions(
  nodes: readonly SchemaNode[],
  { reader, flatten }: ValueCompiler,
): readonly TextAutomaton[] | null {
  const named = nodes
    .filter(({ schema }) => (schema as JsonObject).propertyNames !== undefined)
    .map((node) => reader.child(node, 'propertyNames'))
  const flat = flatten(named)
  if (flat === null) return null
  for (const { schema, path } of flat) {
    const { type, ...rest } = schema as JsonObject
    const keyword = ['anyOf', 'oneOf', 'enum', 'const'].find((name) => rest[name] !== undefined)
    if (keyword === undefined && (type === undefined || type === 'string')) continue
    const at = pointer(path, keyword ?? 'type')
    throw new GrammarError(
      `"${keyword ?? 'type'}" at ${shown(at)} cannot be enforced on names.`,
      'Declare the names under properties, or describe them with a pattern.',
      at,
    )
  }
  return stringConditions(flat)
}

function freeMember(
  members: readonly Member[],
  keys: readonly TextAutomaton[],
  rest: readonly SchemaNode[],
  compiler: ValueCompiler,
  layout: ObjectLayout,
): Expression {
  const names = members.map(({ name }) => name)
  const conditions = names.length > 0 ? [...keys, noneOf(names)] : keys
  return layout.member(layout.freeName(conditions, rest[0]?.path ?? null), rest, compiler)
}

/** States are pairs of a place among the members and the number of members written, as far as that matters. */
function listMembers(
  members: readonly Member[],
  free: Expression | null,
  {
    min,
    max,
    compiler,
    layout,
  }: { min: number; max: number | null; compiler: ValueCompiler; layout: ObjectLayout },
): ExpressionAutomaton {
  const counted = max !== null || min > 1
  const most = max ?? (counted ? Math.max(min, 1) : 1)
  const width = most + 1
  const stateOf = (place: number, count: number) => place * width + count
  const edges: { from: number; to: number; over: Expression }[] = []
  const write = (place: number, nextPlace: number, member: Expression): void => {
    for (let count = 0; count <= most; count += 1) {
      // Without an upper bound, counting stops at the last number that matters.
      const next = max === null ? Math.min(count + 1, most) : count + 1
      if (next > most) continue
      const over = count === 0 ? member : sequence(layout.separator, member)
      edges.push({ from: stateOf(place, count), to: stateOf(nextPlace, next), over })
    }
  }
  for (const [place, { name, schemas, required }] of members.entries()) {
    write(place, place + 1, layout.member(layout.name(name), schemas, compiler))
    if (required) continue
    for (let count = 0; count <= most; count += 1)
      edges.push({ from: stateOf(place, count), to: stateOf(place + 1, count), over: nothing })
  }
  if (free) write(members.length, members.length, free)
  const accepting: number[] = []
  for (let count = Math.min(min, width); count <= most; count += 1)
    accepting.push(stateOf(members.length, count))
  return { kind: 'automaton', states: (members.length + 1) * width, start: 0, edges, accepting }
}

function refuseMinimum(nodes: readonly SchemaNode[], min: number): never {
  const { path } = nodes.find(({ schema }) => (schema as JsonObject).minProperties === min)!
  const at = pointer(path, 'minProperties')
  throw new GrammarError(
    `minProperties ${min} at ${shown(at)} cannot be enforced where names are free, for they might repeat.`,
    'Declare and require the properties, or set additionalProperties to false.',
    at,
  )
}
