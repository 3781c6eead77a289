import { z } from 'zod'

/** What the document and the samples know of a schema beside its shape. */
export interface SchemaFacts {
  /** Name under `components/schemas`; without one a schema is written out where it is used. */
  readonly id?: string | undefined
  readonly description?: string | undefined
  /** Values the schema accepts; samples take them in turn. */
  readonly examples?: readonly string[] | undefined
}

export const schemaRegistry = z.registry<SchemaFacts>()

/** A schema that the document names once and refers to from everywhere else. */
export function component<S extends z.ZodType>(id: string, schema: S, description?: string): S {
  schemaRegistry.add(schema, { id, description })
  return schema
}

/** Text of a form that cannot be guessed from its shape, shown by examples. */
export function exemplified<S extends z.ZodType>(schema: S, examples: readonly string[], id?: string): S {
  schemaRegistry.add(schema, { id, examples })
  return schema
}
