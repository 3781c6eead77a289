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
import { sequence, type Tag, tag, tagList, tagsInText } from './structural-tag.ts'

const open = '<tool_call>'
const close = '</tool_call>'
const key = '<arg_key>'
const keyClose = '</arg_key>'
const value = '<arg_value>'
const valueClose = '</arg_value>'

const marks: ParameterMarks = {
  open,
  close,
  head: [space, toolName],
  bare: null,
  parameter: key,
  key: [parameterName, keyClose, space, value],
  valueOnLine: false,
  valueEnds: [valueClose],
  end: null,
}

function writeCall({
  name,
  arguments: written,
}: {
  readonly name: string
  readonly arguments: string
}): string {
  const parameters = parameterTexts(written)?.map(
    ([argument, text]) => `${key}${argument}${keyClose}\n${value}${text}${valueClose}\n`,
  )
  return `${open}${name}\n${parameters?.join('') ?? `${written}\n`}${close}`
}

const callTags = (tools: readonly CallableTool[]): readonly Tag[] =>
  tools.map(({ name, parameters }) =>
    tag(
      `${open}${name}`,
      sequence(
        { type: 'regex', pattern: '\\n?' },
        { type: 'json_schema', style: 'glm_xml', json_schema: parameters },
      ),
      close,
    ),
  )

/** GLM-4.5 and later; from 4.7 on without line ends. */
export const glm: ToolFormat = {
  name: 'glm',
  visibleTokens: [open, close, key, keyClose, value, valueClose],
  marksAll: false,
  matches: (template) => [open, key, value].every((mark) => template.includes(mark)),
  parser: ({ tools }: ParserOptions): AnswerParser =>
    tools.size === 0 ? new PlainParser() : new ParameterCallParser(marks, tools),
  arrange: (conversation) => withArgumentObjects(conversation, (argument) => argument),
  writeCalls: (calls) => calls.map(writeCall).join('\n'),
  calls: (tools, parallel) => tagList(callTags(tools), '\n', parallel),
  textWithCalls: (tools, parallel) => tagsInText(callTags(tools), [open], parallel),
}
