import type { Conversation } from '@deos/engine/tokenizer'
import { CallListReader } from './call-reader.ts'
import { callText } from './call-text.ts'
import type { CallableTool, ParserOptions, ToolFormat } from './chat-format.ts'
import { type AnswerParser, PlainParser, StepParser } from './pieces.ts'
import { schemaOf, type Tag, tag, tagList, tagsInText } from './structural-tag.ts'

const open = '<|tool_call|>'
const close = '<|/tool_call|>'
/** What Phi-4-mini was also seen to write in place of its control token. */
const spokenOpen = 'functools'

/** `<|tool_call|>[{"name": …, "arguments": …}]<|/tool_call|>`. */
class PhiParser extends StepParser {
  #state: 'text' | 'calls' = 'text'
  #held = ''
  #list = newList()

  protected step(): boolean {
    return this.#state === 'text' ? this.#readText() : this.#readCalls()
  }

  protected close(): void {
    if (this.#state === 'text') return
    this.#list.close(this.out)
    if (this.#list.calls > 0) this.#held = ''
    this.out.content(this.#held + this.#list.takeRaw())
  }

  #readText(): boolean {
    const { text, marker } = this.input.takeUntil([open, close, `${spokenOpen}[`])
    this.out.content(text)
    if (marker === null) return false
    if (marker === close) return true
    this.#held = marker === open ? open : spokenOpen
    this.#list = newList()
    if (marker !== open) this.input.putBack('[')
    this.#state = 'calls'
    return true
  }

  #readCalls(): boolean {
    const state = this.#list.read(this.input, this.out)
    if (this.#list.calls > 0) this.#held = ''
    if (state === 'more') return false
    this.out.content(this.#held + this.#list.takeRaw())
    this.#held = ''
    this.#state = 'text'
    return true
  }
}

const newList = () => new CallListReader({ accepts: (name) => name !== '', foreignFields: true }, /[;,]/)

const callTags = (tools: readonly CallableTool[]): readonly Tag[] =>
  tools.map(({ name, parameters }) =>
    tag(`{"name": ${JSON.stringify(name)}, "arguments": `, schemaOf(parameters), '}'),
  )

const region = (tools: readonly CallableTool[], parallel: boolean): Tag =>
  tag(`${open}[`, tagList(callTags(tools), ', ', parallel), `]${close}`)

/** Phi's template looks for tools in the system message, as JSON text. */
function withToolsInSystem(conversation: Conversation): Conversation {
  const { messages, tools = [] } = conversation
  if (tools.length === 0) return conversation
  const described = JSON.stringify(tools.map((tool) => ('function' in tool ? tool.function : tool)))
  const [first, ...rest] = messages
  return first?.role === 'system'
    ? { ...conversation, messages: [{ ...first, tools: described }, ...rest] }
    : { ...conversation, messages: [{ role: 'system', content: '', tools: described }, ...messages] }
}

/** Phi-4-mini, and Granite 3, which writes the same. */
export const phi: ToolFormat = {
  name: 'phi',
  visibleTokens: [open, close],
  marksAll: false,
  matches: (template) => template.includes(open) || template.includes('<|/tool|>'),
  parser: ({ tools }: ParserOptions): AnswerParser =>
    tools.size === 0 ? new PlainParser() : new PhiParser(),
  arrange: withToolsInSystem,
  writeCalls: (calls) => `${open}[${calls.map((call) => callText(call, 'arguments')).join(', ')}]${close}`,
  calls: region,
  textWithCalls: (tools, parallel) => tagsInText([region(tools, parallel)], [open], parallel),
}
