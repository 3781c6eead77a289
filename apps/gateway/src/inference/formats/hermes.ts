import { CallReader } from './call-reader.ts'
import { callText } from './call-text.ts'
import type { CallableTool, ParserOptions, ToolFormat } from './chat-format.ts'
import { type AnswerParser, PlainParser, StepParser } from './pieces.ts'
import { schemaOf, type Tag, tag, tagList, tagsInText } from './structural-tag.ts'

const open = '<tool_call>'
const close = '</tool_call>'
const openLine = `${open}\n`
const closeLine = `\n${close}`

/** `<tool_call>{"name": …, "arguments": …}</tool_call>`, anywhere in the text. */
class HermesParser extends StepParser {
  #state: 'text' | 'call' | 'closing' = 'text'
  /** Whether the end of a call is yet to come, behind text that does not belong there. */
  #unclosed = false
  #reader = newReader()

  protected step(): boolean {
    switch (this.#state) {
      case 'text':
        return this.#readText()
      case 'call':
        return this.#readCall()
      case 'closing':
        return this.#readClosing()
    }
  }

  protected close(): void {
    if (this.#state === 'call' && !this.#reader.close(this.out)) this.#giveBack()
  }

  #readText(): boolean {
    const { text, marker } = this.input.takeUntil(this.#unclosed ? [open, close] : [open])
    this.out.content(text)
    if (marker === null) return false
    this.#unclosed = false
    if (marker === close) return true
    this.#state = 'call'
    this.#reader = newReader()
    return true
  }

  #readCall(): boolean {
    const state = this.#reader.read(this.input, this.out)
    if (state === 'more') return false
    if (state === 'invalid') this.#giveBack()
    this.#state = state === 'done' ? 'closing' : 'text'
    return true
  }

  #readClosing(): boolean {
    this.input.takeSpace()
    const closes = this.input.startsWith(close)
    if (closes === null) return false
    if (closes) this.input.take(close.length)
    this.#unclosed = !closes
    this.#state = 'text'
    return true
  }

  #giveBack(): void {
    this.out.content(open + this.#reader.takeRaw())
  }
}

const newReader = () => new CallReader({ accepts: (name) => name !== '', foreignFields: true })

const callTags = (tools: readonly CallableTool[]): readonly Tag[] =>
  tools.map(({ name, parameters }) =>
    tag(`${openLine}{"name": ${JSON.stringify(name)}, "arguments": `, schemaOf(parameters), `}${closeLine}`),
  )

/** Hermes 2 and 3, Qwen2.5, Qwen3 and many others. */
export const hermes: ToolFormat = {
  name: 'hermes',
  visibleTokens: [open, close],
  marksAll: false,
  matches: (template) => template.includes(open),
  parser: ({ tools }: ParserOptions): AnswerParser =>
    tools.size === 0 ? new PlainParser() : new HermesParser(),
  writeCalls: (calls) =>
    calls.map((call) => `${openLine}${callText(call, 'arguments')}${closeLine}`).join('\n'),
  calls: (tools, parallel) => tagList(callTags(tools), '\n', parallel),
  textWithCalls: (tools, parallel) => tagsInText(callTags(tools), [open], parallel),
}
