import { BareCallParser } from './bare-calls.ts'
import { callText } from './call-text.ts'
import type { CallableTool, ParserOptions, ToolFormat } from './chat-format.ts'
import { type AnswerParser, PlainParser } from './pieces.ts'
import { schemaOf, type Tag, tag, tagList, tagsInText } from './structural-tag.ts'

const fence = '```'
const begin = `${fence}tool_code\n`
const end = `\n${fence}`

const openings = ['tool_code', 'tool_call', 'json'].map((language) => ({
  begin: `${fence}${language}\n`,
  end: fence,
  anyName: false,
  codeTool: null,
}))

const callTags = (tools: readonly CallableTool[]): readonly Tag[] =>
  tools.map(({ name, parameters }) =>
    tag(`${begin}{"name": ${JSON.stringify(name)}, "parameters": `, schemaOf(parameters), `}${end}`),
  )

/** Gemma 2 and 3 have no marks for calls; they write them into fences, as JSON or as Python. */
export const gemma: ToolFormat = {
  name: 'gemma',
  visibleTokens: [],
  marksAll: false,
  matches: (template) => template.includes('<start_of_turn>'),
  parser: ({ tools }: ParserOptions): AnswerParser =>
    tools.size === 0 ? new PlainParser() : new BareCallParser({ tools, openings }),
  writeCalls: (calls) => calls.map((call) => `${begin}${callText(call, 'parameters')}${end}`).join('\n'),
  calls: (tools, parallel) => tagList(callTags(tools), '\n', parallel),
  textWithCalls: (tools, parallel) => tagsInText(callTags(tools), [begin], parallel),
}
