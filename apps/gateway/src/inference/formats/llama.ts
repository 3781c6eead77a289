import { BareCallParser } from './bare-calls.ts'
import { callText } from './call-text.ts'
import type { CallableTool, ParserOptions, ToolFormat } from './chat-format.ts'
import { type AnswerParser, PlainParser } from './pieces.ts'
import { schemaOf, type Tag, tag, tagList, tagsInText } from './structural-tag.ts'
import { oneCallAtATime } from './template-messages.ts'

const pythonTag = '<|python_tag|>'

/** Names under which a tool that runs code is offered. */
const codeTools = ['python', 'ipython', 'code_interpreter'] as const

const callBegin = '{"name": '

const callTags = (tools: readonly CallableTool[]): readonly Tag[] =>
  tools.map(({ name, parameters }) =>
    tag(`${callBegin}${JSON.stringify(name)}, "parameters": `, schemaOf(parameters), '}'),
  )

/**
 * Llama 3.1 to 3.3: the whole answer is `{"name": …, "parameters": …}`, several with a semicolon between; built-in
 * tools, and code, come behind a control token.
 */
export const llama: ToolFormat = {
  name: 'llama',
  visibleTokens: [pythonTag],
  marksAll: false,
  matches: (template) => template.includes('<|start_header_id|>') && template.includes('ipython'),
  parser: ({ tools }: ParserOptions): AnswerParser => {
    if (tools.size === 0) return new PlainParser()
    const codeTool = codeTools.find((name) => tools.has(name)) ?? null
    return new BareCallParser({ tools, openings: [{ begin: pythonTag, end: null, anyName: true, codeTool }] })
  },
  arrange: (conversation) => ({ ...conversation, messages: oneCallAtATime(conversation.messages) }),
  writeCalls: (calls) => calls.map((call) => callText(call, 'parameters')).join('; '),
  calls: (tools, parallel) => tagList(callTags(tools), '; ', parallel),
  textWithCalls: (tools, parallel) => tagsInText(callTags(tools), [callBegin], parallel),
}
