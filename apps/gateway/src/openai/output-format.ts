import { z } from 'zod'
import { badRequest, unsupported } from '../http/problem.ts'
import type { JsonSchema, OutputFormat } from '../inference/chat/chat-request.ts'

const schema = z.union([z.record(z.string(), z.unknown()), z.boolean()], {
  error: 'must be a JSON schema: an object or a boolean',
})

/** A schema, or one as JSON text, as vLLM's clients send it. */
const schemaOrText = z.union([schema, z.string()], { error: 'must be a JSON schema, or one as JSON text' })

const choices = z.array(z.string().min(1)).min(1).max(1024)

const structuredOutputs = z.object({
  json: schemaOrText.nullish(),
  json_object: z.boolean().nullish(),
  regex: z.string().nullish(),
  choice: choices.nullish(),
  grammar: z.string().nullish(),
})

/** OpenAI's `response_format`, and the fields by which vLLM's clients ask for the same and more. */
export const outputFields = {
  response_format: z.looseObject({ type: z.string() }).nullish(),
  guided_json: schemaOrText.nullish(),
  guided_regex: z.string().nullish(),
  guided_choice: choices.nullish(),
  guided_grammar: z.string().nullish(),
  structured_outputs: structuredOutputs.nullish(),
}

type OutputFields = z.infer<z.ZodObject<typeof outputFields>>

const responseSchema = z.object({
  name: z.string().nullish(),
  description: z.string().nullish(),
  schema: schema.nullish(),
  strict: z.boolean().nullish(),
})

/** @throws Problem for a format that is not known, or when two are asked for */
export function outputFormat(fields: OutputFields): OutputFormat {
  const { structured_outputs: structured } = fields
  const asked = [
    responseFormat(fields.response_format),
    fields.guided_json == null ? null : jsonSchema(fields.guided_json, 'guided_json'),
    regex(fields.guided_regex, 'guided_regex'),
    choice(fields.guided_choice, 'guided_choice'),
    grammar(fields.guided_grammar, 'guided_grammar'),
    structured?.json == null ? null : jsonSchema(structured.json, 'structured_outputs.json'),
    structured?.json_object ? { type: 'json' as const, param: 'structured_outputs.json_object' } : null,
    regex(structured?.regex, 'structured_outputs.regex'),
    choice(structured?.choice, 'structured_outputs.choice'),
    grammar(structured?.grammar, 'structured_outputs.grammar'),
  ].filter((format) => format !== null)
  const [first, second] = asked
  if (first !== undefined && second !== undefined) {
    throw badRequest(`'${second.param}' cannot be combined with '${first.param}': an answer has one form.`, {
      param: second.param,
      hint: 'Leave one of them out.',
    })
  }
  return first ?? { type: 'text' }
}

type Asked = Exclude<OutputFormat, { readonly type: 'text' }> | null

function responseFormat(format: OutputFields['response_format']): Asked {
  const param = 'response_format'
  switch (format?.type) {
    case undefined:
    case 'text':
      return null
    case 'json_object':
      return { type: 'json', param }
    case 'json_schema':
      return responseJsonSchema(format.json_schema)
    default:
      throw unsupported(
        param,
        `Response format '${format!.type.slice(0, 80)}' is`,
        "Use 'text', 'json_object' or 'json_schema'.",
      )
  }
}

function responseJsonSchema(value: unknown): Asked {
  const within = 'response_format.json_schema'
  const parsed = responseSchema.safeParse(value)
  if (!parsed.success) {
    const param = [within, ...parsed.error.issues[0]!.path.map(String)].join('.')
    if (value == null) {
      throw badRequest(`Missing required parameter: '${param}'.`, {
        param,
        code: 'missing_required_parameter',
      })
    }
    throw badRequest(`Invalid '${param}': ${parsed.error.issues[0]!.message}.`, {
      param,
      code: 'invalid_type',
    })
  }
  const { schema, strict } = parsed.data
  if (schema == null) return { type: 'json', param: within }
  return { type: 'json_schema', schema, strict: strict === true, param: `${within}.schema` }
}

function jsonSchema(given: JsonSchema | string, param: string): Asked {
  if (typeof given !== 'string') return { type: 'json_schema', schema: given, strict: false, param }
  let value: unknown
  try {
    value = JSON.parse(given)
  } catch (error) {
    throw badRequest(`Invalid '${param}': ${(error as Error).message}.`, {
      param,
      hint: 'Send a JSON schema.',
    })
  }
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw badRequest(`Invalid '${param}': ${parsed.error.issues[0]!.message}.`, { param })
  return { type: 'json_schema', schema: parsed.data, strict: false, param }
}

const regex = (pattern: string | null | undefined, param: string): Asked =>
  pattern == null ? null : { type: 'regex', pattern, param }

const grammar = (text: string | null | undefined, param: string): Asked =>
  text == null ? null : { type: 'ebnf', grammar: text, param }

const choice = (list: readonly string[] | null | undefined, param: string): Asked =>
  list == null ? null : { type: 'choice', choices: list, param }
