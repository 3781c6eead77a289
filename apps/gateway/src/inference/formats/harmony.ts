import type { CallableTool, ParserOptions, ToolFormat } from './chat-format.ts'
import { type AnswerParser, type Piece, TextInput } from './pieces.ts'
import { either, schemaOf, sequence, type Tag, type TagFormat, tag, tagList } from './structural-tag.ts'
import { callsOf, oneCallAtATime, type TemplateMessage } from './template-messages.ts'

const start = '<|start|>'
const channel = '<|channel|>'
const message = '<|message|>'
const end = '<|end|>'
const call = '<|call|>'
const done = '<|return|>'
const constrain = '<|constrain|>'

const functions = 'functions.'

type Body = 'content' | 'reasoning' | 'arguments'

/**
 * OpenAI's harmony: messages with a channel each. Thoughts are in `analysis`, the answer in `final`, calls in
 * `commentary` with a recipient; commentary to nobody is said to the user too.
 */
class HarmonyParser implements AnswerParser {
  readonly #callsAllowed: boolean
  readonly #input = new TextInput()
  #pieces: Piece[] = []
  #state: 'start' | 'header' | 'body' | 'between' = 'start'
  #body: Body = 'content'
  #header = ''
  #empty = true
  #ended = false

  constructor({ tools }: ParserOptions) {
    this.#callsAllowed = tools.size > 0
  }

  get reasoning(): boolean {
    return this.#state === 'body' && this.#body === 'reasoning'
  }

  get ended(): boolean {
    return this.#ended
  }

  push(text: string): readonly Piece[] {
    this.#input.push(text)
    return this.#run()
  }

  finish(): readonly Piece[] {
    this.#input.end()
    const pieces = this.#run()
    this.#endBody()
    return [...pieces, ...this.#drain()]
  }

  #run(): readonly Piece[] {
    while (!this.#ended && this.#step());
    return this.#drain()
  }

  #step(): boolean {
    switch (this.#state) {
      case 'start':
        return this.#begin()
      case 'header':
        return this.#readHeader()
      case 'body':
        return this.#readBody()
      case 'between':
        return this.#readBetween()
    }
  }

  /** The prompt ends in `<|start|>assistant`, so an answer begins inside a header; bare text is taken as the answer. */
  #begin(): boolean {
    if (this.#input.text === '') return false
    const marker = this.#input.leading([channel, ' to=', constrain, message, start])
    if (marker === undefined) return false
    if (marker === start) this.#input.take(start.length)
    if (marker === null) this.#openBody('content', null)
    else this.#state = 'header'
    return true
  }

  #readHeader(): boolean {
    const { text, marker } = this.#input.takeUntil([message, end, call, done])
    this.#header += text
    if (marker === null) return false
    const header = this.#header
    this.#header = ''
    if (marker !== message) {
      this.#close(marker)
      return true
    }
    this.#mark()
    const recipient = /\bto=([^\s<]+)/.exec(header)?.[1] ?? null
    const name = /<\|channel\|>\s*(\w+)/.exec(header)?.[1] ?? 'final'
    if (this.#callsAllowed && recipient !== null && !/^(assistant|user|all)$/.test(recipient)) {
      this.#openBody('arguments', recipient)
    } else {
      this.#openBody(name === 'analysis' ? 'reasoning' : 'content', null)
    }
    return true
  }

  #readBody(): boolean {
    const { text, marker } = this.#input.takeUntil([end, call, done, start, channel])
    this.#say(this.#body, text)
    if (marker === null) return false
    this.#endBody()
    this.#close(marker)
    return true
  }

  /** After a message only another one can come; text that is none is told. */
  #readBetween(): boolean {
    this.#input.takeSpace()
    if (this.#input.text === '') return false
    const marker = this.#input.leading([start, channel])
    if (marker === undefined) return false
    if (marker === null) this.#openBody('content', null)
    else this.#openHeader(this.#input.take(marker.length))
    return true
  }

  #openHeader(marker: string): void {
    this.#state = 'header'
    this.#header = marker === channel ? channel : ''
  }

  #close(marker: string): void {
    this.#mark()
    this.#state = 'between'
    if (marker === call || marker === done) this.#ended = true
    else if (marker !== end) this.#openHeader(marker)
  }

  #openBody(body: Body, recipient: string | null): void {
    this.#state = 'body'
    this.#body = body
    this.#empty = true
    if (recipient === null) return
    const name = recipient.startsWith(functions) ? recipient.slice(functions.length) : recipient
    this.#pieces.push({ type: 'call', name })
  }

  #endBody(): void {
    if (this.#state !== 'body' || this.#body !== 'arguments') return
    if (this.#empty) this.#pieces.push({ type: 'arguments', text: '{}' })
    this.#pieces.push({ type: 'call-end' })
    this.#body = 'content'
  }

  #say(type: Body, text: string): void {
    if (text === '') return
    this.#empty = false
    this.#pieces.push({ type, text })
  }

  #mark(): void {
    this.#pieces.push({ type: 'marker' })
  }

  #drain(): readonly Piece[] {
    const pieces = this.#pieces
    this.#pieces = []
    return pieces
  }
}

const analysis = tag(`${channel}analysis${message}`, { type: 'any_text' }, end)
const preamble = tag(`${channel}commentary${message}`, { type: 'any_text' }, end)
const nextMessage: TagFormat = { type: 'const_string', value: `${start}assistant` }

const callTags = (tools: readonly CallableTool[]): readonly Tag[] =>
  tools.map(({ name, parameters }) =>
    tag(
      `${channel}commentary to=${functions}${name} ${constrain}json${message}`,
      schemaOf(parameters),
      // What ends a call ends the turn: a stop token.
      '',
    ),
  )

/** With thoughts before it, or at once. */
const afterThoughts = (format: TagFormat): TagFormat =>
  either(sequence(analysis, nextMessage, format), format)

/** Templates take thoughts under a name of their own, and beside calls either thoughts or content. */
function withThinking({ reasoning_content: thinking, ...message }: TemplateMessage): TemplateMessage {
  const { content, ...bare } = message
  if (callsOf(message).length === 0) return thinking === undefined ? message : { ...message, thinking }
  return content ? message : thinking ? { ...bare, thinking } : bare
}

/** gpt-oss. */
export const harmony: ToolFormat = {
  name: 'harmony',
  visibleTokens: [start, channel, message, end, call, done, constrain],
  marksAll: true,
  matches: (template) => template.includes(channel) && template.includes(message),
  parser: (options: ParserOptions): AnswerParser => new HarmonyParser(options),
  arrange: (conversation) => ({
    ...conversation,
    messages: oneCallAtATime(conversation.messages).map(withThinking),
  }),
  writeCalls: (calls) =>
    calls
      .map(
        ({ name, arguments: given }) =>
          `${channel}commentary to=${functions}${name} ${constrain}json${message}${given}${call}`,
      )
      .join(''),
  // One call ends the turn, whatever was asked.
  calls: (tools) => afterThoughts(tagList(callTags(tools), '', false)),
  textWithCalls: (tools) =>
    sequence(
      { type: 'star', content: sequence(either(analysis, preamble), nextMessage) },
      either(tag(`${channel}final${message}`, { type: 'any_text' }, ''), ...callTags(tools)),
    ),
  output: (format) => afterThoughts(tag(`${channel}final${message}`, format, '')),
}
