import { createHash } from 'node:crypto'
import { ArgumentsReader, CallListReader } from './call-reader.ts'
import { callText } from './call-text.ts'
import type { CallableTool, ParserOptions, ToolFormat } from './chat-format.ts'
import { type AnswerParser, PlainParser, StepParser } from './pieces.ts'
import { schemaOf, type Tag, tag, tagList, tagsInText } from './structural-tag.ts'
import { callsOf, resultOf, type TemplateMessage } from './template-messages.ts'

const callsBegin = '[TOOL_CALLS]'
const argumentsBegin = '[ARGS]'
const idBegin = '[CALL_ID]'

/** Function names are letters, digits, `_`, `-` and `.`; longer ones are refused everywhere. */
const maxNameLength = 256

/** `[TOOL_CALLS][{…}, {…}]` in older models, `[TOOL_CALLS]name[ARGS]{…}` for each call in newer ones. */
class MistralParser extends StepParser {
  #state: 'text' | 'begun' | 'list' | 'name' | 'id' | 'arguments' = 'text'
  #held = ''
  #name = ''
  #list = newList()
  #arguments = new ArgumentsReader()

  protected step(): boolean {
    switch (this.#state) {
      case 'text':
        return this.#readText()
      case 'begun':
        return this.#begun()
      case 'list':
        return this.#readList()
      case 'name':
        return this.#readName()
      case 'id':
        return this.#readId()
      case 'arguments':
        return this.#readArguments()
    }
  }

  protected close(): void {
    if (this.#state === 'arguments') {
      this.#arguments.close(this.out)
      this.out.add({ type: 'call-end' })
    } else if (this.#state === 'list') {
      this.#list.close(this.out)
      this.#giveBack(this.#list.takeRaw())
    } else if (this.#state !== 'text') {
      this.#giveBack(this.#state === 'name' ? this.#name : '')
    }
  }

  #readText(): boolean {
    const { text, marker } = this.input.takeUntil([callsBegin])
    this.out.content(text)
    if (marker === null) return false
    this.#held = marker
    this.#state = 'begun'
    return true
  }

  #begun(): boolean {
    this.#held += this.input.takeSpace()
    const first = this.input.text[0]
    if (first === undefined) return false
    this.#list = newList()
    this.#name = ''
    this.#state = first === '[' || first === '{' ? 'list' : 'name'
    return true
  }

  #readList(): boolean {
    const state = this.#list.read(this.input, this.out)
    if (this.#list.calls > 0) this.#held = ''
    if (state === 'more') return false
    this.#giveBack(this.#list.takeRaw())
    return true
  }

  #readName(): boolean {
    const word = /^[\w.-]*/.exec(this.input.text)![0]
    this.#name += this.input.take(word.length)
    const next = this.input.leading([argumentsBegin, idBegin, '{'])
    if (this.#name.length > maxNameLength) return this.#giveBack(this.#name)
    if (this.input.text === '' || next === undefined) return false
    if (next === null || this.#name === '') return this.#giveBack(this.#name)
    if (next !== '{') this.#held += this.#name + this.input.take(next.length)
    if (next === idBegin) {
      this.#state = 'id'
      return true
    }
    return this.#beginCall()
  }

  /** Models that name their calls do so between name and arguments; calls get their names from us. */
  #readId(): boolean {
    const { text, marker } = this.input.takeUntil([argumentsBegin])
    this.#held += text
    return marker === null ? false : this.#beginCall()
  }

  #beginCall(): boolean {
    this.out.add({ type: 'call', name: this.#name })
    this.#held = ''
    this.#name = ''
    this.#arguments = new ArgumentsReader()
    this.#state = 'arguments'
    return true
  }

  #readArguments(): boolean {
    if (!this.#arguments.read(this.input, this.out)) return false
    this.out.add({ type: 'call-end' })
    this.#state = 'text'
    return true
  }

  /** What looked like a call and is none. */
  #giveBack(text: string): true {
    this.out.content(this.#held + text)
    this.#held = ''
    this.#name = ''
    this.#state = 'text'
    return true
  }
}

const newList = () => new CallListReader({ accepts: (name) => name !== '', foreignFields: true }, /[;,]/)

const ownId = /^[A-Za-z0-9]{9}$/

/** Templates demand ids of nine letters and digits; clients bring others. */
const shortId = (id: string): string =>
  ownId.test(id) ? id : createHash('sha256').update(id).digest('hex').slice(0, 9)

const withShortIds = (message: TemplateMessage): TemplateMessage => {
  const result = resultOf(message)
  const calls = callsOf(message)
  return {
    ...message,
    ...(result !== null && { tool_call_id: shortId(result) }),
    ...(calls.length > 0 && { tool_calls: calls.map((call) => ({ ...call, id: shortId(call.id) })) }),
  }
}

const listTags = (tools: readonly CallableTool[]): readonly Tag[] =>
  tools.map(({ name, parameters }) =>
    tag(`{"name": ${JSON.stringify(name)}, "arguments": `, schemaOf(parameters), '}'),
  )

/** Mistral's instruct models up to Nemo, which write their calls as one list. */
export const mistral: ToolFormat = {
  name: 'mistral',
  visibleTokens: [callsBegin, argumentsBegin, idBegin],
  marksAll: false,
  matches: (template) => template.includes(callsBegin),
  parser: ({ tools }: ParserOptions): AnswerParser =>
    tools.size === 0 ? new PlainParser() : new MistralParser(),
  arrange: (conversation) => ({ ...conversation, messages: conversation.messages.map(withShortIds) }),
  writeCalls: (calls) => `${callsBegin}[${calls.map((call) => callText(call, 'arguments')).join(', ')}]`,
  calls: (tools, parallel) => tag(`${callsBegin}[`, tagList(listTags(tools), ', ', parallel), ']'),
  textWithCalls: (tools, parallel) =>
    tagsInText(
      [tag(`${callsBegin}[`, tagList(listTags(tools), ', ', parallel), ']')],
      [callsBegin],
      parallel,
    ),
}

const namedTags = (tools: readonly CallableTool[]): readonly Tag[] =>
  tools.map(({ name, parameters }) => tag(`${callsBegin}${name}${argumentsBegin}`, schemaOf(parameters), ''))

/** Later ones, which mark every call by itself. */
export const mistralNamed: ToolFormat = {
  ...mistral,
  name: 'mistral-named',
  matches: (template) => template.includes(callsBegin) && template.includes(argumentsBegin),
  writeCalls: (calls) =>
    calls.map((call) => `${callsBegin}${call.name}${argumentsBegin}${call.arguments}`).join(''),
  calls: (tools, parallel) => tagList(namedTags(tools), '', parallel),
  textWithCalls: (tools, parallel) => tagsInText(namedTags(tools), [callsBegin], parallel),
}
