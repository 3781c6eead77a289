import type { CallableTool, ParserOptions, ToolFormat } from './chat-format.ts'
import {
  ParameterCallParser,
  type ParameterMarks,
  parameterName,
  parameterTexts,
  space,
  toolName,
  withArgumentObjects,
} from './parameter-calls.ts'
import { type AnswerParser, PlainParser } from './pieces.ts'
import { type Tag, tag, tagList, tagsInText } from './structural-tag.ts'

const open = '<tool_call>'
const close = '</tool_call>'
const functionOpen = '<function='
const functionClose = '</function>'
const parameter = '<parameter='
const parameterClose = '</parameter>'

const marks: ParameterMarks = {
  open,
  close,
  head: [space, functionOpen, toolName, '>'],
  bare: { open: functionOpen, head: [toolName, '>'] },
  parameter,
  key: [parameterName, '>'],
  valueOnLine: true,
  valueEnds: [`\n${parameterClose}`, parameterClose],
  end: functionClose,
}

function writeCall({
  name,
  arguments: written,
}: {
  readonly name: string
  readonly arguments: string
}): string {
  const parameters = parameterTexts(written)?.map(
    ([key, text]) => `${parameter}${key}>\n${text}\n${parameterClose}\n`,
  )
  const body = parameters?.join('') ?? `${written}\n`
  return `${open}\n${functionOpen}${name}>\n${body}${functionClose}\n${close}`
}

const functionTags = (tools: readonly CallableTool[]): readonly Tag[] =>
  tools.map(({ name, parameters }) =>
    tag(
      `${functionOpen}${name}>\n`,
      { type: 'json_schema', style: 'qwen_xml', json_schema: parameters },
      functionClose,
    ),
  )

const callTags = (tools: readonly CallableTool[]): readonly Tag[] =>
  functionTags(tools).map(({ begin, content, end }) => tag(`${open}\n${begin}`, content, `${end}\n${close}`))

/** The templates write what is neither text nor JSON as Python does, where they were made. */
function asPython(value: unknown): unknown {
  if (value === null) return 'None'
  return typeof value === 'boolean' ? (value ? 'True' : 'False') : value
}

/** Qwen3-Coder, Qwen3.5, Nemotron 3 and others. They leave out the outer marks at times. */
export const qwenCoder: ToolFormat = {
  name: 'qwen-coder',
  visibleTokens: [open, close],
  marksAll: false,
  matches: (template) => [open, functionOpen, parameter].every((mark) => template.includes(mark)),
  parser: ({ tools }: ParserOptions): AnswerParser =>
    tools.size === 0 ? new PlainParser() : new ParameterCallParser(marks, tools),
  arrange: (conversation) => withArgumentObjects(conversation, asPython),
  writeCalls: (calls) => calls.map(writeCall).join('\n'),
  calls: (tools, parallel) => tagList(callTags(tools), '\n', parallel),
  textWithCalls: (tools, parallel) =>
    tagsInText([...callTags(tools), ...functionTags(tools)], [open, functionOpen], parallel),
}
