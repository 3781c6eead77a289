import { z } from 'zod'
import { schemaRegistry } from '../contract/registry.ts'

type Schema = z.core.$ZodTypes

const pick = <T>(options: readonly T[], index: number): T => options[index % options.length]!

function number(schema: Schema, index: number): number {
  if (!(schema instanceof z.ZodNumber)) return index
  const min = Math.max(schema.minValue ?? 0, Number.MIN_SAFE_INTEGER)
  const max = Math.min(schema.maxValue ?? Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
  // A share of 0 to 1 is told from a count by its upper bound.
  return max - min <= 1 ? min + ((index + 1) % 4) * ((max - min) / 4) : Math.min(max, min + 1 + index)
}

function text(schema: Schema, index: number): string {
  if (schema instanceof z.ZodURL) return `https://deos.example.org/${index}`
  if (!(schema instanceof z.ZodString)) return `text ${index + 1}`
  return `text ${index + 1}`.padEnd(schema.minLength ?? 0, '.').slice(0, schema.maxLength ?? 64)
}

function object(shape: Readonly<Record<string, z.core.$ZodType>>, index: number): Record<string, unknown> {
  return Object.fromEntries(Object.entries(shape).map(([name, field]) => [name, sample(field, index)]))
}

function record(key: z.core.$ZodType, value: z.core.$ZodType, index: number): Record<string, unknown> {
  const keys = (key as Schema)._zod.def
  const names = keys.type === 'enum' ? Object.values(keys.entries).map(String) : [String(sample(key, index))]
  return Object.fromEntries(names.map((name) => [name, sample(value, index)]))
}

function sample(given: z.core.$ZodType, index: number): unknown {
  const schema = given as Schema
  const examples = schemaRegistry.get(schema)?.examples
  if (examples !== undefined && examples.length > 0) return pick(examples, index)
  const { def } = schema._zod
  switch (def.type) {
    case 'string':
      return text(schema, index)
    case 'number':
      return number(schema, index)
    case 'boolean':
      return index % 2 === 1
    case 'literal':
      return pick(def.values, index)
    case 'enum':
      return pick(Object.values(def.entries), index)
    case 'object':
      return object(def.shape, index)
    case 'array':
      return [sample(def.element, index), sample(def.element, index + 1)]
    case 'record':
      return record(def.keyType, def.valueType, index)
    case 'union':
      return sample(pick(def.options, index), index)
    // Now and then there is nothing, so that pages show that too.
    case 'nullable':
      return index % 2 === 1 ? null : sample(def.innerType, index)
    case 'optional':
    case 'default':
      return sample(def.innerType, index)
    case 'pipe':
      return sample(def.in, index)
    default:
      throw new Error(`Samples of ${def.type} are not made: give the schema examples.`)
  }
}

/**
 * A value the schema accepts, the same each time. Different indices differ in ids, states and numbers.
 *
 * @throws Error if a schema is so particular that it needs examples and has none
 */
export function sampleOf<S extends z.ZodType>(schema: S, index = 0): z.output<S> {
  return schema.parse(sample(schema, index))
}

/** Several of them. */
export const samplesOf = <S extends z.ZodType>(schema: S, count: number): z.output<S>[] =>
  Array.from({ length: count }, (_, index) => sampleOf(schema, index))
