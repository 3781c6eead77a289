import { checkGrammarSpec, GrammarError, type GrammarSpec } from '@deos/engine/grammar-spec'
import { InvalidFieldError } from '../errors.ts'
import type { CallableTool, ChatFormat } from '../formats/chat-format.ts'
import { withControlTokens } from '../formats/control-tokens.ts'
import { either, schemaOf, sequence, type TagFormat, tag } from '../formats/structural-tag.ts'
import type { TextModel } from '../text-model.ts'
import type { ChatRequest, JsonSchema, OutputFormat, Tool } from './chat-request.ts'

/** Where in the thoughts of a model the prompt ends: inside, past them, or before it is clear whether there are any. */
export type ThoughtState = 'open' | 'past' | 'undecided'

type Constrained = Exclude<OutputFormat, { readonly type: 'text' }>

const anyObject: JsonSchema = { type: 'object' }

/**
 * What an answer must look like, as JSON text of the engine's grammar specification; `null` if it is free.
 *
 * @param tools - those on offer
 * @throws InvalidFieldError naming the field that cannot be kept
 */
export function constraintFor(
  request: Pick<ChatRequest, 'toolChoice' | 'parallelToolCalls' | 'output' | 'ignoreEos'>,
  tools: readonly Tool[],
  model: Pick<TextModel, 'format' | 'isControlToken'>,
  thoughts: ThoughtState,
): string | null {
  const { tools: marks, reasoning } = model.format
  const spelled = [...marks.visibleTokens, ...(reasoning === null ? [] : [reasoning.open, reasoning.close])]
  const tokens = spelled.filter((text) => model.isControlToken(text))
  const spec = specFor(request, tools, model.format, thoughts, tokens)
  return spec === null ? null : specText(spec, request.ignoreEos)
}

/** The same for a text that is nothing but output. */
export function outputGrammar(output: OutputFormat, ignoreEos: boolean): string | null {
  if (output.type === 'text') return null
  checkOutput(output)
  return specText(outputSpec(output), ignoreEos)
}

function specText(spec: GrammarSpec, ignoreEos: boolean): string {
  if (!ignoreEos) return JSON.stringify(spec)
  throw new InvalidFieldError(
    'ignore_eos',
    "'ignore_eos' cannot be combined with an answer that must have a form: it could never end.",
    "Leave out 'ignore_eos'.",
  )
}

function specFor(
  request: Pick<ChatRequest, 'toolChoice' | 'parallelToolCalls' | 'output'>,
  tools: readonly Tool[],
  format: ChatFormat,
  thoughts: ThoughtState,
  tokens: readonly string[],
): GrammarSpec | null {
  const tagged = (body: TagFormat) => tagSpec(withControlTokens(body, tokens))
  const { toolChoice, parallelToolCalls, output } = request
  const forced = toolChoice.type === 'required' || toolChoice.type === 'named'
  if (output.type !== 'text') {
    checkOutput(output)
    if (forced) {
      throw new InvalidFieldError(
        output.param,
        `'${output.param}' says what content must look like, but 'tool_choice' demands calls instead of content.`,
        "Leave one of them out, or use tool_choice 'auto'.",
      )
    }
  }
  if (forced) {
    const { name } = toolChoice.type === 'named' ? toolChoice : { name: null }
    const callable = tools.filter((tool) => name === null || tool.name === name).map(callableTool)
    const calls = format.tools.calls(callable, parallelToolCalls && name === null)
    return tagged(afterThoughts(calls, format, thoughts))
  }
  if (output.type !== 'text') {
    if (tools.length === 0 && thoughts === 'past' && format.tools.output === undefined)
      return outputSpec(output)
    const content = format.tools.output?.(outputFormat(output)) ?? outputFormat(output)
    const body =
      tools.length === 0
        ? content
        : either(format.tools.calls(tools.map(callableTool), parallelToolCalls), content)
    return tagged(afterThoughts(body, format, thoughts))
  }
  return tools.some(({ strict }) => strict)
    ? tagged(format.tools.textWithCalls(tools.map(callableTool), parallelToolCalls))
    : null
}

/** The form begins where the thoughts end; a model may also leave them out, unless the prompt began them. */
function afterThoughts(body: TagFormat, { reasoning }: ChatFormat, thoughts: ThoughtState): TagFormat {
  if (reasoning === null || thoughts === 'past') return body
  const begin = thoughts === 'open' ? '' : reasoning.open
  const thinking = sequence(
    tag(begin, { type: 'any_text' }, reasoning.close),
    { type: 'regex', pattern: '\\n{0,2}' },
    body,
  )
  return thoughts === 'open' ? thinking : either(thinking, body)
}

const tagSpec = (format: TagFormat): GrammarSpec => {
  const spec: GrammarSpec = { type: 'structural_tag', format: { ...format } }
  checkGrammarSpec(spec)
  return spec
}

/** Arguments of tools that are not strict are held to their schema as far as that can be enforced. */
function callableTool(tool: Tool): CallableTool {
  const { name, parameters, strict } = tool
  if (parameters === null) return { name, parameters: anyObject }
  try {
    checkGrammarSpec({ type: 'json_schema', schema: parameters, strict })
    return { name, parameters }
  } catch (error) {
    if (!(error instanceof GrammarError)) throw error
    if (strict) throw fieldError(error, tool.param, '/schema')
    return { name, parameters: anyObject }
  }
}

function outputSpec(output: Constrained): GrammarSpec {
  switch (output.type) {
    case 'json':
      return { type: 'json' }
    case 'json_schema':
      return { type: 'json_schema', schema: output.schema, strict: output.strict }
    case 'regex':
      return { type: 'regex', pattern: output.pattern }
    case 'ebnf':
      return { type: 'ebnf', grammar: output.grammar }
    case 'choice':
      return tagSpec(outputFormat(output))
  }
}

function outputFormat(output: Constrained): TagFormat {
  switch (output.type) {
    case 'json':
      return schemaOf(anyObject)
    case 'json_schema':
      return schemaOf(output.schema)
    case 'regex':
      return { type: 'regex', pattern: output.pattern }
    case 'ebnf':
      return { type: 'grammar', grammar: output.grammar }
    case 'choice':
      return either(...output.choices.map((value): TagFormat => ({ type: 'const_string', value })))
  }
}

const innerPath: Readonly<Record<Constrained['type'], string>> = {
  json: '',
  json_schema: '/schema',
  regex: '/pattern',
  ebnf: '/grammar',
  choice: '/format',
}

function checkOutput(output: Constrained): void {
  try {
    checkGrammarSpec(outputSpec(output))
  } catch (error) {
    if (error instanceof GrammarError) throw fieldError(error, output.param, innerPath[output.type])
    throw error
  }
}

/** @param inner - where in the specification the field's value stands */
function fieldError({ path, message, hint }: GrammarError, param: string, inner: string): InvalidFieldError {
  const within = path?.startsWith(inner) ? path.slice(inner.length) : ''
  const field = within
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((text, step) => (/^\d+$/.test(step) ? `${text}[${step}]` : `${text}.${step}`), param)
  return new InvalidFieldError(field, `Invalid '${field}': ${message}`, hint)
}
