import { hasType, type JsonType, propertyTypes } from '@deos/engine/grammar-spec'
import type { Conversation } from '@deos/engine/tokenizer'
import { argumentsObject } from '../chat/call-arguments.ts'
import type { JsonSchema } from '../chat/chat-request.ts'
import { ArgumentsReader } from './call-reader.ts'
import { isRecord, jsonValue } from './json-reader.ts'
import { type PieceList, StepParser } from './pieces.ts'
import { callsOf } from './template-messages.ts'

/** A text, a sticky pattern whose group is what is looked for, or texts of which one follows and is not taken. */
type Part = string | RegExp | readonly string[]

/** The marks of calls in which each argument stands by itself. */
export interface ParameterMarks {
  /** Around a call. */
  readonly open: string
  readonly close: string
  /** From behind `open` up to the first parameter. */
  readonly head: readonly Part[]
  /** A call that lacks `open`, which counts if its tool is on offer; `null` if none is known without it. */
  readonly bare: { readonly open: string; readonly head: readonly Part[] } | null
  /** What parameters begin with. */
  readonly parameter: string
  /** The rest of what stands before a value. */
  readonly key: readonly Part[]
  /** Whether a value begins on a line of its own. */
  readonly valueOnLine: boolean
  readonly valueEnds: readonly string[]
  /** What stands between the last parameter and `close`; `null` if nothing. */
  readonly end: string | null
}

export const space = /\s*()/y
export const toolName = /([\w.-]+)/y
export const parameterName = /([^<>\n]+)/y

type Match = { readonly length: number; readonly found: string } | 'more' | 'none'

/** Matches the start of a text; `more` while what comes behind it may still decide. */
function match(text: string, parts: readonly Part[]): Match {
  let length = 0
  let found = ''
  for (const part of parts) {
    const rest = text.slice(length)
    if (part instanceof RegExp) {
      part.lastIndex = 0
      const run = part.exec(rest)
      if (rest === '' || run?.[0].length === rest.length) return 'more'
      if (run === null) return 'none'
      length += run[0].length
      found += run[1]!
    } else if (typeof part === 'string') {
      if (!rest.startsWith(part)) return part.startsWith(rest) ? 'more' : 'none'
      length += part.length
    } else if (!part.some((option) => rest.startsWith(option))) {
      return part.some((option) => option.startsWith(rest)) ? 'more' : 'none'
    }
  }
  return { length, found }
}

/**
 * Reads calls whose arguments stand one by one, and tells the arguments as one JSON object: texts as they come, other
 * values once they are there. JSON in place of parameters is taken too.
 */
export class ParameterCallParser extends StepParser {
  readonly #marks: ParameterMarks
  readonly #tools: ReadonlyMap<string, JsonSchema>
  #state: 'text' | 'head' | 'parameters' | 'value' | 'json' | 'closing' = 'text'
  /** What the call in hand began with. */
  #opening = ''
  #arguments = new ArgumentsWriter(this.out, true)
  #json = new ArgumentsReader()
  #valueBegun = false
  /** Whether ends of a call are yet to come, behind text that does not belong there. */
  #unclosed = false

  constructor(marks: ParameterMarks, tools: ReadonlyMap<string, JsonSchema>) {
    super()
    this.#marks = marks
    this.#tools = tools
  }

  protected step(): boolean {
    switch (this.#state) {
      case 'text':
        return this.#readText()
      case 'head':
        return this.#readHead()
      case 'parameters':
        return this.#readParameters()
      case 'value':
        return this.#readValue()
      case 'json':
        return this.#readJson()
      case 'closing':
        return this.#readClosing()
    }
  }

  protected close(): void {
    if (this.#state === 'json') this.out.add({ type: 'call-end' })
  }

  /** Everything that may stand behind the last parameter. */
  get #ends(): readonly string[] {
    const { end, close } = this.#marks
    return end === null ? [close] : [end, close]
  }

  #readText(): boolean {
    const { open, close, bare } = this.#marks
    const openings = bare === null ? [open] : [open, bare.open]
    const { text, marker } = this.input.takeUntil(this.#unclosed ? [...openings, ...this.#ends] : openings)
    this.out.content(text)
    if (marker === null) return false
    if (marker === open || marker === close) this.#unclosed = false
    if (!openings.includes(marker)) return true
    this.#opening = marker
    this.#state = 'head'
    return true
  }

  #readHead(): boolean {
    const { open, head, bare, parameter } = this.#marks
    const isBare = this.#opening !== open
    const begun = match(this.input.text, [
      ...(isBare ? bare!.head : head),
      space,
      [parameter, ...this.#ends, '{'],
    ])
    if (begun === 'more' && !this.input.ended) return false
    if (typeof begun === 'string' || (isBare && !this.#tools.has(begun.found))) {
      this.out.content(this.#opening)
      this.#state = 'text'
      return true
    }
    this.input.take(begun.length)
    this.out.add({ type: 'call', name: begun.found })
    this.#arguments = new ArgumentsWriter(this.out, this.#tools.get(begun.found) ?? true)
    this.#json = new ArgumentsReader()
    this.#state = this.input.text.startsWith('{') ? 'json' : 'parameters'
    return true
  }

  #readParameters(): boolean {
    const { parameter, key } = this.#marks
    const begun = match(this.input.text, [space, parameter, ...key])
    if (typeof begun !== 'string') {
      this.input.take(begun.length)
      this.#arguments.name(begun.found)
      this.#valueBegun = !this.#marks.valueOnLine
      this.#state = 'value'
      return true
    }
    if (begun === 'more' || match(this.input.text, [space, this.#ends]) === 'more') {
      if (!this.input.ended) return false
      this.input.take(this.input.text.length)
    } else {
      this.#arguments.end()
    }
    this.#endCall()
    return true
  }

  #readValue(): boolean {
    if (!this.#valueBegun) {
      const onLine = this.input.startsWith('\n')
      if (onLine === null) return false
      if (onLine) this.input.take(1)
      this.#valueBegun = true
    }
    const { text, marker } = this.input.takeUntil(this.#marks.valueEnds)
    // Half a character waits for the other half.
    const isSplit = marker === null && !this.input.ended && /[\ud800-\udbff]$/.test(text)
    if (isSplit) this.input.putBack(text.slice(-1))
    this.#arguments.value(isSplit ? text.slice(0, -1) : text)
    if (marker !== null) {
      this.#arguments.endValue()
      this.#state = 'parameters'
      return true
    }
    if (!this.input.ended) return false
    this.#arguments.cutOff()
    this.#endCall()
    return true
  }

  #readJson(): boolean {
    if (!this.#json.read(this.input, this.out)) return false
    this.#endCall()
    return true
  }

  #endCall(): void {
    this.out.add({ type: 'call-end' })
    this.#state = 'closing'
  }

  #readClosing(): boolean {
    for (const end of this.#ends) {
      const closed = match(this.input.text, [space, end])
      if (closed === 'none') continue
      if (closed === 'more') {
        if (!this.input.ended) return false
        continue
      }
      this.input.take(closed.length)
      this.#unclosed = false
      if (end === this.#marks.close) this.#state = 'text'
      return true
    }
    this.#unclosed = true
    this.#state = 'text'
    return true
  }
}

const constants: Readonly<Record<string, string>> = { True: 'true', False: 'false', None: 'null' }

/** Writes arguments that come as texts as a JSON object, as far as they are there. */
class ArgumentsWriter {
  readonly #out: PieceList
  readonly #schema: JsonSchema
  #count = 0
  #types: ReadonlySet<JsonType> = new Set()
  #value = ''

  constructor(out: PieceList, schema: JsonSchema) {
    this.#out = out
    this.#schema = schema
  }

  name(name: string): void {
    this.#types = propertyTypes(this.#schema, name)
    this.#value = ''
    this.#say(`${this.#count === 0 ? '{' : ', '}${JSON.stringify(name)}: ${this.#isText ? '"' : ''}`)
    this.#count += 1
  }

  value(text: string): void {
    if (this.#isText) this.#say(escaped(text))
    else this.#value += text
  }

  endValue(): void {
    this.#say(this.#isText ? '"' : valueText(this.#value, this.#types))
  }

  /** No more comes: what is there is told as what it may have become. */
  cutOff(): void {
    if (!this.#isText) this.#say(this.#types.has('string') ? `"${escaped(this.#value)}` : this.#value)
  }

  end(): void {
    this.#say(this.#count === 0 ? '{}' : '}')
  }

  /** Whether the value can be nothing but a text. */
  get #isText(): boolean {
    return this.#types.size === 1 && this.#types.has('string')
  }

  #say(text: string): void {
    if (text !== '') this.#out.add({ type: 'arguments', text })
  }
}

const escaped = (text: string): string => JSON.stringify(text).slice(1, -1)

/** JSON of a value that was written as text where it is one, and else as JSON, or as Python's constants. */
function valueText(text: string, types: ReadonlySet<JsonType>): string {
  const trimmed = text.trim()
  const json = constants[trimmed] ?? trimmed
  const value = jsonValue(json)
  const isJson = types.has('string')
    ? typeof value !== 'string' && hasType(types, value)
    : value !== undefined
  return isJson ? json : JSON.stringify(text)
}

/** Arguments one by one, each as calls hold it; `null` if they are no JSON object. */
export function parameterTexts(written: string): readonly (readonly [name: string, text: string])[] | null {
  const value = jsonValue(written === '' ? '{}' : written)
  if (!isRecord(value)) return null
  return Object.entries(value).map(([name, inner]) => [
    name,
    typeof inner === 'string' ? inner : JSON.stringify(inner),
  ])
}

/**
 * Templates go through the arguments of calls, so these must be objects.
 *
 * @param spell - what a template is given for the value of an argument
 */
export function withArgumentObjects(
  conversation: Conversation,
  spell: (value: unknown) => unknown,
): Conversation {
  const rewritten = (written: string): string => {
    const entries = Object.entries(argumentsObject(written)).map(([name, value]) => [name, spell(value)])
    return JSON.stringify(Object.fromEntries(entries))
  }
  return {
    ...conversation,
    messages: conversation.messages.map((message) => {
      const calls = callsOf(message)
      if (calls.length === 0) return message
      const tool_calls = calls.map((call) => ({
        ...call,
        function: { ...call.function, arguments: rewritten(call.function.arguments) },
      }))
      return { ...message, tool_calls }
    }),
  }
}
