import { GrammarError } from './errors.ts'
import { isJsonObject, type JsonObject, pointer } from './spec.ts'

/** A schema with its place, in JSON pointers from the root of the specification. */
export interface SchemaNode {
  readonly id: number
  readonly path: string
  readonly schema: JsonObject | boolean
}

/** Keywords that change what is valid and that no rewriting expresses, with what can be done instead. */
const unsupported: ReadonlyMap<string, string> = new Map([
  ['not', 'Say what is allowed instead: enum, pattern, or fewer branches of anyOf.'],
  ['if', 'Write the cases as branches of anyOf that differ in a constant property.'],
  ['then', 'Write the cases as branches of anyOf that differ in a constant property.'],
  ['else', 'Write the cases as branches of anyOf that differ in a constant property.'],
  ['contains', 'Use items, or prefixItems for the places that matter.'],
  ['minContains', 'Use items, or prefixItems for the places that matter.'],
  ['maxContains', 'Use items, or prefixItems for the places that matter.'],
  ['dependentRequired', 'Write the cases as branches of anyOf.'],
  ['dependentSchemas', 'Write the cases as branches of anyOf.'],
  ['dependencies', 'Write the cases as branches of anyOf.'],
  ['patternProperties', 'Use properties, or additionalProperties with propertyNames.'],
  ['unevaluatedItems', 'Use items: false beside prefixItems.'],
  ['$dynamicRef', 'Use $ref.'],
  ['$recursiveRef', 'Use $ref.'],
])

/**
 * Finds subschemas and references of one schema document.
 *
 * Nodes are numbered by identity, so that sets of them can be compared.
 */
export class SchemaReader {
  readonly #root: JsonObject | boolean
  readonly #rootPath: string
  readonly #nodes = new Map<string, SchemaNode>()
  readonly #stripped = new Map<string, SchemaNode>()
  /** Pointers from the schema's root, by the name given there. */
  readonly #anchors = new Map<string, string>()
  #count = 0

  constructor(root: JsonObject | boolean, rootPath: string) {
    this.#root = root
    this.#rootPath = rootPath
    this.#findAnchors(root, rootPath)
  }

  get root(): SchemaNode {
    return this.node(this.#root, this.#rootPath)
  }

  /** @throws GrammarError if the value is no schema or uses what cannot be enforced */
  node(value: unknown, path: string): SchemaNode {
    const known = this.#nodes.get(path)
    if (known) return known
    if (typeof value !== 'boolean' && !isJsonObject(value))
      throw new GrammarError(
        `The schema at ${shown(path)} is ${JSON.stringify(value) ?? 'missing'}.`,
        'A schema is an object, true or false.',
        path,
      )
    if (typeof value !== 'boolean') refuseUnsupported(value, path)
    const node = { id: this.#count, path, schema: value }
    this.#count += 1
    this.#nodes.set(path, node)
    return node
  }

  child(parent: SchemaNode, ...keys: readonly (string | number)[]): SchemaNode {
    let value: unknown = parent.schema
    let path = parent.path
    for (const key of keys) {
      value = (value as Record<string | number, unknown>)[key]
      path = pointer(path, key)
    }
    return this.node(value, path)
  }

  /** The same schema without one keyword. */
  without(node: SchemaNode, keyword: string): SchemaNode {
    const key = `${node.id} ${keyword}`
    const known = this.#stripped.get(key)
    if (known) return known
    const { [keyword]: _, ...rest } = node.schema as JsonObject
    const stripped = { id: this.#count, path: node.path, schema: rest }
    this.#count += 1
    this.#stripped.set(key, stripped)
    return stripped
  }

  /** @throws GrammarError if the reference leads nowhere or to another document */
  target(node: SchemaNode): SchemaNode {
    const reference = (node.schema as JsonObject).$ref
    const at = pointer(node.path, '$ref')
    if (typeof reference !== 'string')
      throw new GrammarError(
        `$ref at ${shown(at)} is ${JSON.stringify(reference)}.`,
        'It must be a string.',
        at,
      )
    if (!reference.startsWith('#'))
      throw new GrammarError(
        `$ref at ${shown(at)} leads to ${JSON.stringify(reference)}, outside this schema.`,
        'Put that schema under "$defs" and refer to it as "#/$defs/name".',
        at,
      )
    const fragment = decodeFragment(reference.slice(1))
    if (fragment === '') return this.root
    const anchored = this.#anchors.get(fragment)
    if (anchored === undefined && !fragment.startsWith('/')) throw nowhere(reference, at)
    const keys = (anchored ?? fragment)
      .split('/')
      .slice(1)
      .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
    let value: unknown = this.#root
    let path = this.#rootPath
    for (const key of keys) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key))
        throw nowhere(reference, at)
      value = (value as Record<string, unknown>)[key]
      path = pointer(path, key)
    }
    return this.node(value, path)
  }

  #findAnchors(value: unknown, path: string): void {
    if (Array.isArray(value)) {
      for (const [i, child] of value.entries()) this.#findAnchors(child, pointer(path, i))
    } else if (isJsonObject(value)) {
      if (typeof value.$anchor === 'string')
        this.#anchors.set(value.$anchor, path.slice(this.#rootPath.length))
      for (const [key, child] of Object.entries(value)) this.#findAnchors(child, pointer(path, key))
    }
  }
}

/** A pointer as messages show it. */
export function shown(path: string): string {
  return path === '' ? 'the root' : path
}

function refuseUnsupported(schema: JsonObject, path: string): void {
  for (const [keyword, hint] of unsupported) {
    const value = schema[keyword]
    if (value === undefined) continue
    if (keyword === 'patternProperties' && isJsonObject(value) && Object.keys(value).length === 0) continue
    if (keyword === 'unevaluatedItems' && value === true) continue
    const at = pointer(path, keyword)
    throw new GrammarError(
      `"${keyword}" at ${shown(at)} cannot be enforced while text is generated.`,
      hint,
      at,
    )
  }
}

function decodeFragment(fragment: string): string {
  try {
    return decodeURIComponent(fragment)
  } catch {
    return fragment
  }
}

function nowhere(reference: string, at: string): GrammarError {
  return new GrammarError(
    `$ref at ${shown(at)} leads to ${JSON.stringify(reference)}, where nothing is.`,
    'Define that schema, for example under "$defs".',
    at,
  )
}
