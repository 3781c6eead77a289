import { ArgumentsReader } from './call-reader.ts'
import type { CallableTool, ParserOptions, ToolFormat } from './chat-format.ts'
import { type AnswerParser, PlainParser, StepParser } from './pieces.ts'
import { schemaOf, type Tag, tag, tagList, tagsInText } from './structural-tag.ts'

const callsBegin = '<｜tool▁calls▁begin｜>'
const callsEnd = '<｜tool▁calls▁end｜>'
const callBegin = '<｜tool▁call▁begin｜>'
const callEnd = '<｜tool▁call▁end｜>'
const separator = '<｜tool▁sep｜>'

const fence = '\n```json\n'
const fenceEnd = '```'

/** `begin function sep name, fenced JSON, end` in V2, V3 and R1; `begin name sep JSON end` from V3.1 on. */
class DeepSeekParser extends StepParser {
  #state: 'text' | 'kind' | 'name' | 'arguments' | 'closing' = 'text'
  #held = ''
  #arguments = new ArgumentsReader()

  protected step(): boolean {
    switch (this.#state) {
      case 'text':
        return this.#readText()
      case 'kind':
        return this.#readKind()
      case 'name':
        return this.#readName()
      case 'arguments':
        if (!this.#arguments.read(this.input, this.out)) return false
        this.out.add({ type: 'call-end' })
        this.#state = 'closing'
        return true
      case 'closing':
        return this.#readClosing()
    }
  }

  protected close(): void {
    if (this.#state === 'arguments') {
      this.#arguments.close(this.out)
      this.out.add({ type: 'call-end' })
    } else if (this.#held !== '') {
      this.out.content(this.#held + this.input.take(this.input.text.length))
    }
  }

  #readText(): boolean {
    const { text, marker } = this.input.takeUntil([callsBegin, callsEnd, callBegin])
    this.out.content(text)
    if (marker === null) return false
    if (marker === callBegin) {
      this.#held = callBegin
      this.#state = 'kind'
    }
    return true
  }

  #readKind(): boolean {
    const { text, marker } = this.input.takeUntil([separator, callEnd])
    this.#held += text
    if (marker === null) return false
    const kind = this.#held.slice(callBegin.length).trim()
    this.#held += marker
    if (marker === callEnd || kind === '') return this.#giveBack()
    if (kind === 'function') this.#state = 'name'
    else this.#begin(kind)
    return true
  }

  #readName(): boolean {
    const { text, marker } = this.input.takeUntil([fence, callEnd])
    this.#held += text
    if (marker === null) return false
    const name = this.#held.slice(this.#held.indexOf(separator) + separator.length).trim()
    this.#held += marker
    if (marker === callEnd || name === '') return this.#giveBack()
    this.#begin(name)
    return true
  }

  #begin(name: string): void {
    this.out.add({ type: 'call', name })
    this.#held = ''
    this.#arguments = new ArgumentsReader()
    this.#state = 'arguments'
  }

  #readClosing(): boolean {
    const { text, marker } = this.input.takeUntil([callEnd, callsEnd, callBegin])
    // The fence around the arguments belongs to the call, as far as it came.
    this.#held += text
    if (marker === null && !this.input.ended) return false
    const rest = this.#held.trim()
    this.#held = ''
    if (rest !== fenceEnd) this.out.content(rest)
    if (marker === callBegin) {
      this.#held = callBegin
      this.#state = 'kind'
    } else this.#state = 'text'
    return marker !== null
  }

  #giveBack(): true {
    this.out.content(this.#held)
    this.#held = ''
    this.#state = 'text'
    return true
  }
}

/** The whole call region, so that a grammar can tell where it begins. */
function region(tags: readonly Tag[], between: string, parallel: boolean): Tag {
  return tag(callsBegin, tagList(tags, between, parallel), callsEnd)
}

const fencedTags = (tools: readonly CallableTool[]): readonly Tag[] =>
  tools.map(({ name, parameters }) =>
    tag(`${callBegin}function${separator}${name}${fence}`, schemaOf(parameters), `\n${fenceEnd}${callEnd}`),
  )

/** DeepSeek V2, V3, R1 and models distilled from it. */
export const deepseek: ToolFormat = {
  name: 'deepseek',
  visibleTokens: [callsBegin, callsEnd, callBegin, callEnd, separator],
  marksAll: false,
  matches: (template) => template.includes(callsBegin),
  parser: ({ tools }: ParserOptions): AnswerParser =>
    tools.size === 0 ? new PlainParser() : new DeepSeekParser(),
  writeCalls: (calls) =>
    callsBegin +
    calls
      .map(
        (call) =>
          `${callBegin}function${separator}${call.name}${fence}${call.arguments}\n${fenceEnd}${callEnd}`,
      )
      .join('\n') +
    callsEnd,
  calls: (tools, parallel) => region(fencedTags(tools), '\n', parallel),
  textWithCalls: (tools, parallel) =>
    tagsInText([region(fencedTags(tools), '\n', parallel)], [callsBegin], parallel),
}

const plainTags = (tools: readonly CallableTool[]): readonly Tag[] =>
  tools.map(({ name, parameters }) => tag(`${callBegin}${name}${separator}`, schemaOf(parameters), callEnd))

/** DeepSeek V3.1 and later. */
export const deepseekPlain: ToolFormat = {
  ...deepseek,
  name: 'deepseek-plain',
  matches: (template) => template.includes(callsBegin) && !template.includes('```json'),
  writeCalls: (calls) =>
    callsBegin +
    calls.map((call) => `${callBegin}${call.name}${separator}${call.arguments}${callEnd}`).join('') +
    callsEnd,
  calls: (tools, parallel) => region(plainTags(tools), '', parallel),
  textWithCalls: (tools, parallel) =>
    tagsInText([region(plainTags(tools), '', parallel)], [callsBegin], parallel),
}
