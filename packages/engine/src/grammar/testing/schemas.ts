import type { JsonObject, JsonSchema } from '../spec.ts'

/** Numbers below 1 that depend on the seed alone (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A random schema of everything that is enforced, recursive ones included; the same for the same seed. */
export function randomSchema(seed: number): JsonSchema {
  return new SchemaGenerator(seededRandom(seed)).generate()
}

const patterns = [
  '^[a-z]{2,6}$',
  '^\\d{3}-\\d{4}$',
  'x',
  '^(red|green|"blue")$',
  '^[^a]*$',
  '\\d$',
  '^é+ü?$',
  '^a\\\\b',
]
const words = [
  'a',
  'name',
  'größe',
  'with space',
  'quote"d',
  'back\\slash',
  '日本',
  'kind',
  'x/y',
  '😀',
  'tab\t',
]

class SchemaGenerator {
  readonly #random: () => number
  readonly #definitions: Record<string, JsonSchema> = {}

  constructor(random: () => number) {
    this.#random = random
  }

  generate(): JsonSchema {
    const recursive = this.#chance(0.3)
    if (recursive) this.#definitions.tree = this.#tree()
    const schema = this.#schema(3)
    if (!recursive || typeof schema === 'boolean') return schema
    return { ...schema, $defs: this.#definitions }
  }

  #schema(depth: number): JsonSchema {
    const leaves = [
      () => ({ type: 'null' }),
      () => ({ type: 'boolean' }),
      () => this.#integer(),
      () => this.#number(),
      () => this.#string(),
      () => ({ enum: this.#some([...words, 1, -2.5, null, true, { a: [1, 'b'] }, []]) }),
      () => ({ const: this.#pick([...words, 0, false, { deep: { er: null } }]) }),
      () => ({ type: ['integer', 'null'], maximum: 7 }),
    ]
    const branches = [
      () => this.#object(depth),
      () => this.#object(depth),
      () => this.#object(depth),
      () => this.#array(depth),
      () => this.#array(depth),
      () => ({ anyOf: [this.#schema(depth - 1), this.#schema(depth - 1)] }),
      () => this.#joined(depth),
      () => this.#tagged(depth),
    ]
    if (this.#definitions.tree) branches.push(() => ({ $ref: '#/$defs/tree' }))
    return this.#pick(depth > 0 ? branches : leaves)()
  }

  #tree(): JsonSchema {
    const children = this.#chance(0.5)
      ? { type: 'array', items: { $ref: '#/$defs/tree' }, maxItems: this.#whole(1, 3) }
      : { anyOf: [{ $ref: '#/$defs/tree' }, { type: 'null' }] }
    return {
      type: 'object',
      properties: { value: this.#schema(0), children },
      required: this.#chance(0.5) ? ['value', 'children'] : ['value'],
      additionalProperties: false,
    }
  }

  /** Objects that declare different properties, so that one value can satisfy both. */
  #joined(depth: number): JsonObject {
    const part = (names: readonly string[]) => ({
      properties: Object.fromEntries(names.map((name) => [name, this.#schema(depth - 1)])),
      required: names.slice(0, 1),
    })
    return { type: 'object', ...part(['left']), allOf: [part(['a', 'b']), part(['c'])] }
  }

  #object(depth: number): JsonObject {
    const names = this.#some(words)
    const properties: Record<string, JsonSchema> = {}
    for (const name of names) properties[name] = this.#schema(depth - 1)
    const required = names.filter(() => this.#chance(0.5))
    const schema: Record<string, unknown> = { type: 'object', properties, required }
    const kind = this.#random()
    if (kind < 0.3) schema.additionalProperties = false
    else if (kind < 0.5) schema.additionalProperties = this.#schema(0)
    else if (kind < 0.6) schema.additionalProperties = true
    if (schema.additionalProperties === false && this.#chance(0.3))
      schema.minProperties = Math.max(required.length, this.#whole(0, names.length))
    if (this.#chance(0.2)) schema.maxProperties = this.#whole(Math.max(names.length, 1), names.length + 2)
    return schema
  }

  #tagged(depth: number): JsonObject {
    const branch = (kind: string) => ({
      type: 'object',
      properties: { kind: { const: kind }, data: this.#schema(depth - 1) },
      required: ['kind', 'data'],
      additionalProperties: false,
    })
    return { oneOf: [branch('first'), branch('second')] }
  }

  #array(depth: number): JsonObject {
    const min = this.#whole(0, 3)
    const schema: Record<string, unknown> = { type: 'array', items: this.#schema(depth - 1), minItems: min }
    if (this.#chance(0.7)) schema.maxItems = min + this.#whole(0, 4)
    if (this.#chance(0.2)) schema.prefixItems = [this.#schema(0), this.#schema(0)]
    return schema
  }

  #integer(): JsonObject {
    const low = this.#whole(-2000, 2000)
    const schema: Record<string, unknown> = { type: 'integer' }
    if (this.#chance(0.6)) schema[this.#chance(0.3) ? 'exclusiveMinimum' : 'minimum'] = low
    if (this.#chance(0.6))
      schema[this.#chance(0.3) ? 'exclusiveMaximum' : 'maximum'] = low + this.#whole(20, 5000)
    if (this.#chance(0.2)) schema.multipleOf = this.#whole(1, 9)
    return schema
  }

  #number(): JsonObject {
    const low = this.#decimal()
    const schema: Record<string, unknown> = { type: 'number' }
    if (this.#chance(0.6)) schema[this.#chance(0.5) ? 'exclusiveMinimum' : 'minimum'] = low
    if (this.#chance(0.6))
      schema[this.#chance(0.5) ? 'exclusiveMaximum' : 'maximum'] = low + this.#random() * 10
    return schema
  }

  #decimal(): number {
    return (this.#random() - 0.5) * 10 ** this.#whole(-3, 6)
  }

  #string(): JsonObject {
    const schema: Record<string, unknown> = { type: 'string' }
    if (this.#chance(0.3)) schema.pattern = this.#pick(patterns)
    else if (this.#chance(0.5)) {
      schema.minLength = this.#whole(0, 5)
      schema.maxLength = this.#whole(5, 20)
    }
    return schema
  }

  #chance(probability: number): boolean {
    return this.#random() < probability
  }

  #whole(low: number, high: number): number {
    return low + Math.floor(this.#random() * (high - low + 1))
  }

  #pick<T>(options: readonly T[]): T {
    return options[Math.floor(this.#random() * options.length)]!
  }

  #some<T>(options: readonly T[]): readonly T[] {
    const first = this.#pick(options)
    return [...new Set([first, ...options.filter(() => this.#chance(0.2))])]
  }
}
