import { GrammarError } from './errors.ts'

export type JsonObject = { readonly [key: string]: unknown }
export type JsonSchema = JsonObject | boolean

/**
 * What a constrained answer must look like. Serialisable: it travels as JSON text.
 *
 * - `json`: any JSON object.
 * - `json_schema`: JSON that satisfies the schema, properties in the order in which the schema declares them. An object
 *   that declares properties and does not speak of `additionalProperties` gets no others; with `strict` neither does
 *   one that declares none.
 * - `regex`: the whole text matches, in JavaScript's syntax.
 * - `ebnf`: rules in the dialect llama.cpp calls GBNF, beginning at `root`.
 * - `structural_tag`: free text with constrained regions, in the format XGrammar calls structural tags.
 */
export type GrammarSpec =
  | { readonly type: 'json' }
  | { readonly type: 'json_schema'; readonly schema: JsonSchema; readonly strict?: boolean }
  | { readonly type: 'regex'; readonly pattern: string }
  | { readonly type: 'ebnf'; readonly grammar: string }
  | { readonly type: 'structural_tag'; readonly format: JsonObject }

/** Longest specification, in UTF-16 code units of its JSON text. */
export const MAX_SPEC_LENGTH = 256 * 1024
/** Deepest nesting of arrays and objects in a specification. */
export const MAX_SPEC_DEPTH = 64

/** @throws GrammarError */
export function parseGrammarSpec(text: string): GrammarSpec {
  checkLength(text.length)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new GrammarError(`The grammar is not JSON: ${(error as Error).message}.`, 'Send it as JSON text.')
  }
  return readGrammarSpec(value)
}

/**
 * Checks the outer shape; what is inside is checked when the grammar is read.
 *
 * @throws GrammarError
 */
export function readGrammarSpec(value: unknown): GrammarSpec {
  if (!isJsonObject(value)) throw wrongField('', 'an object', value)
  checkDepth(value, 0)
  switch (value.type) {
    case 'json':
      return { type: 'json' }
    case 'json_schema':
      if (!isJsonObject(value.schema) && typeof value.schema !== 'boolean')
        throw wrongField('/schema', 'an object or a boolean', value.schema)
      if (value.strict !== undefined && typeof value.strict !== 'boolean')
        throw wrongField('/strict', 'a boolean', value.strict)
      return { type: 'json_schema', schema: value.schema, strict: value.strict ?? false }
    case 'regex':
      return { type: 'regex', pattern: readText(value, 'pattern') }
    case 'ebnf':
      return { type: 'ebnf', grammar: readText(value, 'grammar') }
    case 'structural_tag':
      if (!isJsonObject(value.format)) throw wrongField('/format', 'an object', value.format)
      return { type: 'structural_tag', format: value.format }
    default:
      throw wrongField('/type', '"json", "json_schema", "regex", "ebnf" or "structural_tag"', value.type)
  }
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function wrongField(path: string, expected: string, actual: unknown): GrammarError {
  const shown = JSON.stringify(actual) ?? 'nothing'
  const short = shown.length > 80 ? `${shown.slice(0, 80)}…` : shown
  return new GrammarError(
    `The grammar has ${short} at ${path === '' ? 'its root' : path}, where ${expected} belongs.`,
    'Correct that field.',
    path,
  )
}

/** One more step of a JSON pointer. */
export function pointer(path: string, key: string | number): string {
  return `${path}/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`
}

export function checkLength(length: number): void {
  if (length <= MAX_SPEC_LENGTH) return
  throw new GrammarError(
    `The grammar has ${length} characters; at most ${MAX_SPEC_LENGTH} are read.`,
    'Send a smaller one.',
  )
}

function readText(value: JsonObject, field: string): string {
  const text = value[field]
  if (typeof text !== 'string') throw wrongField(`/${field}`, 'a string', text)
  return text
}

function checkDepth(value: unknown, depth: number): void {
  if (typeof value !== 'object' || value === null) return
  if (depth > MAX_SPEC_DEPTH)
    throw new GrammarError(
      `The grammar nests deeper than ${MAX_SPEC_DEPTH} levels.`,
      'Move the inner parts of a schema to "$defs" and refer to them.',
    )
  for (const child of Object.values(value)) checkDepth(child, depth + 1)
}
