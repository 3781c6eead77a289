import { GrammarError } from './errors.ts'
import { call, choice, type Expression, impossible, type OpenRule, rule } from './expression.ts'
import { anyBoolean, anyValue, jsonLiteral, jsonNull } from './json-text.ts'
import { arrayExpression } from './schema-arrays.ts'
import {
  assertsSomething,
  commonTypes,
  commonValues,
  constrainsMembers,
  hasType,
  intersectTypes,
  type JsonType,
  readArray,
  typeOf,
} from './schema-facts.ts'
import { acceptsNumber, integerExpression, numberExpression } from './schema-numbers.ts'
import { type Notation, objectExpression, type ValueCompiler } from './schema-objects.ts'
import { type SchemaNode, SchemaReader, shown } from './schema-reader.ts'
import { acceptsText, stringConditions, stringExpression } from './schema-strings.ts'
import { isJsonObject, type JsonObject, type JsonSchema, pointer } from './spec.ts'

/** Most combinations of schemas that one document may lead to. */
const maxRules = 5000
/** Most choices among branches that are followed to find the types of a property. */
const maxAlternatives = 256

/**
 * The JSON texts that satisfy a schema (draft 2020-12, with the older spellings of tuples and excluded bounds).
 *
 * Never more than the schema allows, and less only where that loses nothing anyone asks for: properties come in the
 * order of their declaration, bounded numbers have no exponent, a schema that has keywords of one type only gives
 * values of that type. What cannot be enforced is refused by place and keyword.
 *
 * @param path - JSON pointer of the schema within the specification
 * @param strict - objects that do not mention `additionalProperties` are closed even if they declare no properties
 * @param notation - how the value is written, if not as JSON
 * @throws GrammarError
 */
export function schemaExpression(
  schema: JsonSchema,
  path: string,
  strict: boolean,
  notation: Notation = json,
): Expression {
  return new SchemaCompiler(new SchemaReader(schema, path), strict).compile(notation)
}

/**
 * The types that the schema of an object allows a property to have; all of them where that cannot be told.
 *
 * @param schema - also one that cannot be enforced
 */
export function propertyTypes(schema: JsonSchema, name: string): ReadonlySet<JsonType> {
  try {
    const types = new SchemaCompiler(new SchemaReader(schema, ''), false).propertyTypes(name)
    return types.size === 0 ? everyType : types
  } catch (error) {
    if (error instanceof GrammarError) return everyType
    throw error
  }
}

const everyType = commonTypes([])

const json: Notation = {
  name: 'json',
  objectsOnly: false,
  anything: () => anyValue,
  string: stringExpression,
  object: objectExpression,
  literal: jsonLiteral,
}

/**
 * A value must often satisfy several schemas at once: `allOf`, the siblings of a reference, a property that two of them
 * declare. So the unit of compilation is a set of schemas, and each set becomes one rule, whoever asks for it.
 */
class SchemaCompiler implements ValueCompiler {
  readonly reader: SchemaReader
  readonly strict: boolean
  readonly #rules = new Map<string, OpenRule>()
  readonly #waiting: {
    readonly rule: OpenRule
    readonly nodes: readonly SchemaNode[]
    readonly notation: Notation
  }[] = []

  constructor(reader: SchemaReader, strict: boolean) {
    this.reader = reader
    this.strict = strict
  }

  compile(notation: Notation): Expression {
    const root = this.value([this.reader.root], notation)
    for (let next = this.#waiting.pop(); next; next = this.#waiting.pop())
      next.rule.body = this.#body(next.nodes, next.notation)
    return root
  }

  value(nodes: readonly SchemaNode[], notation: Notation = json): Expression {
    const flat = this.flatten(nodes)
    if (flat === null) return impossible
    if (flat.length === 0) return notation.anything(this)
    const key = `${notation.name} ${idsOf(flat)}`
    let known = this.#rules.get(key)
    if (!known) {
      if (this.#rules.size >= maxRules)
        throw new GrammarError(
          `The schema leads to more than ${maxRules} combinations of subschemas.`,
          'Use fewer anyOf and oneOf within each other.',
          flat[0]!.path,
        )
      known = rule(flat[0]!.path || 'root')
      this.#rules.set(key, known)
      this.#waiting.push({ rule: known, nodes: flat, notation })
    }
    return call(known)
  }

  readonly flatten = (nodes: readonly SchemaNode[]): readonly SchemaNode[] | null => {
    const flat = new Map<number, SchemaNode>()
    const waiting = [...nodes].reverse()
    const seen = new Set<number>()
    for (let node = waiting.pop(); node; node = waiting.pop()) {
      if (node.schema === false) return null
      if (node.schema === true || seen.has(node.id)) continue
      seen.add(node.id)
      const { schema } = node
      if (assertsSomething(schema)) flat.set(node.id, node)
      if (schema.allOf !== undefined)
        for (const place of readArray(schema.allOf, pointer(node.path, 'allOf')).keys())
          waiting.push(this.reader.child(node, 'allOf', place))
      if (schema.$ref !== undefined) waiting.push(this.reader.target(node))
    }
    return [...flat.values()]
  }

  /** Types that a property may have, whichever branches of the schemas are taken. */
  propertyTypes(name: string): ReadonlySet<JsonType> {
    const properties = this.#alternatives([this.reader.root], new Set()).map((nodes) => {
      const declared = this.#propertySchemas(nodes, name)
      if (declared.length > 0) return declared
      const others = nodes.filter(({ schema }) => isJsonObject((schema as JsonObject).additionalProperties))
      return others.map((node) => this.reader.child(node, 'additionalProperties'))
    })
    const ways = properties.flatMap((nodes) => this.#alternatives(nodes, new Set()))
    return new Set(ways.flatMap((nodes) => [...writtenTypes(nodes)]))
  }

  /** The schemas once for each choice among the branches of `anyOf` and `oneOf`. */
  #alternatives(nodes: readonly SchemaNode[], seen: Set<string>): readonly (readonly SchemaNode[])[] {
    const flat = this.flatten(nodes)
    if (flat === null || seen.has(idsOf(flat))) return []
    seen.add(idsOf(flat))
    if (seen.size > maxAlternatives)
      throw new GrammarError(
        `The schema leads to more than ${maxAlternatives} choices among branches.`,
        'Use fewer anyOf and oneOf within each other.',
        flat[0]?.path ?? null,
      )
    const branching = branchingOf(flat)
    if (branching === null) return [flat]
    const { node, keyword } = branching
    return this.#branchesOf(node, keyword).flatMap((branch) =>
      this.#alternatives([...this.#withoutBranches(flat, node, keyword), branch], seen),
    )
  }

  #body(nodes: readonly SchemaNode[], notation: Notation): Expression {
    const branching = branchingOf(nodes)
    if (branching !== null) return this.#branches(nodes, branching, notation)
    const types = commonTypes(nodes)
    const values = commonValues(nodes)
    if (values !== null) {
      const fitting = values.filter((value) => hasType(types, value) && this.#accepts(nodes, value))
      return choice(...fitting.filter((value) => canWrite(notation, typeOf(value))).map(notation.literal))
    }
    const written = [...types].filter((type) => canWrite(notation, type))
    return choice(...written.map((type) => this.#typed(type, nodes, notation)))
  }

  #branches(nodes: readonly SchemaNode[], { node, keyword }: Branching, notation: Notation): Expression {
    const branches = this.#branchesOf(node, keyword)
    if (keyword === 'oneOf') this.#refuseOverlap(branches, pointer(node.path, keyword))
    const others = this.#withoutBranches(nodes, node, keyword)
    return choice(...branches.map((branch) => this.value([...others, branch], notation)))
  }

  #branchesOf(node: SchemaNode, keyword: BranchKeyword): readonly SchemaNode[] {
    const places = readArray((node.schema as JsonObject)[keyword], pointer(node.path, keyword))
    return [...places.keys()].map((place) => this.reader.child(node, keyword, place))
  }

  #withoutBranches(
    nodes: readonly SchemaNode[],
    node: SchemaNode,
    keyword: BranchKeyword,
  ): readonly SchemaNode[] {
    return nodes.map((other) => (other === node ? this.reader.without(node, keyword) : other))
  }

  #typed(type: JsonType, nodes: readonly SchemaNode[], notation: Notation): Expression {
    switch (type) {
      case 'null':
        return jsonNull
      case 'boolean':
        return anyBoolean
      case 'integer':
        return integerExpression(nodes)
      case 'number':
        return numberExpression(nodes)
      case 'string':
        return notation.string(nodes)
      case 'array':
        return arrayExpression(nodes, this)
      case 'object':
        return notation.object(nodes, this)
    }
  }

  /** Whether a value named by `enum` or `const` satisfies what else the schemas say. */
  #accepts(nodes: readonly SchemaNode[], value: unknown): boolean {
    switch (typeOf(value)) {
      case 'string':
        return acceptsText(stringConditions(nodes), value as string)
      case 'integer':
      case 'number':
        return acceptsNumber(nodes, value as number)
      case 'array':
      case 'object': {
        const node = nodes.find(({ schema }) => constrainsMembers(schema as JsonObject))
        if (!node) return true
        throw new GrammarError(
          `The schema at ${shown(node.path)} restricts arrays or objects that "enum" or "const" spell out.`,
          'Leave out what the listed values satisfy anyway.',
          node.path,
        )
      }
      default:
        return true
    }
  }

  #refuseOverlap(branches: readonly SchemaNode[], path: string): void {
    for (const [i, a] of branches.entries())
      for (const [j, b] of branches.entries()) {
        if (j <= i || this.#areDisjoint([a], [b], 3)) continue
        throw new GrammarError(
          `"oneOf" at ${shown(path)} has branches ${i} and ${j}, which one value might satisfy both.`,
          'Use anyOf, or give each branch a required property with a constant of its own.',
          path,
        )
      }
  }

  /** Whether it is plain that nothing generated for one satisfies the other; unsure counts as no. */
  #areDisjoint(a: readonly SchemaNode[], b: readonly SchemaNode[], depth: number): boolean {
    const flatA = this.flatten(a)
    const flatB = this.flatten(b)
    if (flatA === null || flatB === null) return true
    for (const [some, others] of [
      [flatA, flatB],
      [flatB, flatA],
    ] as const) {
      const node = some.find(({ schema }) => (schema as JsonObject).anyOf !== undefined)
      if (!node || depth === 0) continue
      const places = readArray((node.schema as JsonObject).anyOf, pointer(node.path, 'anyOf'))
      const rest = some.map((other) => (other === node ? this.reader.without(node, 'anyOf') : other))
      return [...places.keys()].every((place) =>
        this.#areDisjoint([...rest, this.reader.child(node, 'anyOf', place)], others, depth - 1),
      )
    }
    const types = new Set([
      ...intersectTypes(commonTypes(flatA), validTypes(flatB)),
      ...intersectTypes(validTypes(flatA), commonTypes(flatB)),
    ])
    if (types.size === 0) return true
    if (commonValues([...flatA, ...flatB])?.length === 0) return true
    if (types.size > 1 || !types.has('object') || depth === 0) return false
    return this.#sharedRequired(flatA, flatB).some((name) =>
      this.#areDisjoint(this.#propertySchemas(flatA, name), this.#propertySchemas(flatB, name), depth - 1),
    )
  }

  #sharedRequired(a: readonly SchemaNode[], b: readonly SchemaNode[]): readonly string[] {
    const requiredOf = (nodes: readonly SchemaNode[]) =>
      nodes.flatMap(({ schema }) => {
        const { required } = schema as JsonObject
        return Array.isArray(required) ? (required as readonly string[]) : []
      })
    const inB = new Set(requiredOf(b))
    return requiredOf(a).filter((name) => inB.has(name))
  }

  #propertySchemas(nodes: readonly SchemaNode[], name: string): readonly SchemaNode[] {
    return nodes.flatMap((node) => {
      const { properties } = node.schema as JsonObject
      return isJsonObject(properties) && Object.hasOwn(properties, name)
        ? [this.reader.child(node, 'properties', name)]
        : []
    })
  }
}

type BranchKeyword = 'anyOf' | 'oneOf'

/** A schema with branches among which a value chooses. */
interface Branching {
  readonly node: SchemaNode
  readonly keyword: BranchKeyword
}

function branchingOf(nodes: readonly SchemaNode[]): Branching | null {
  for (const keyword of ['anyOf', 'oneOf'] as const) {
    const node = nodes.find(({ schema }) => (schema as JsonObject)[keyword] !== undefined)
    if (node) return { node, keyword }
  }
  return null
}

const idsOf = (nodes: readonly SchemaNode[]): string =>
  nodes
    .map(({ id }) => id)
    .sort((a, b) => a - b)
    .join(',')

const canWrite = (notation: Notation, type: JsonType): boolean => !notation.objectsOnly || type === 'object'

/** Types of the values that are generated. */
function writtenTypes(nodes: readonly SchemaNode[]): ReadonlySet<JsonType> {
  const types = commonTypes(nodes)
  const values = commonValues(nodes)
  return values === null ? types : new Set(values.filter((value) => hasType(types, value)).map(typeOf))
}

/** Types of all valid values; those generated may be fewer, for implied types narrow them. */
function validTypes(nodes: readonly SchemaNode[]): ReadonlySet<JsonType> {
  const types = commonTypes(nodes.filter(({ schema }) => (schema as JsonObject).type !== undefined))
  const values = commonValues(nodes)
  return values === null ? types : new Set(values.filter((value) => hasType(types, value)).map(typeOf))
}
