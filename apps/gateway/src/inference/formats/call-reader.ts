import { argumentsText, JsonExtent, jsonValue } from './json-reader.ts'
import type { PieceList, TextInput } from './pieces.ts'

export interface CallRules {
  /** Whether a call to this name is taken for one. */
  readonly accepts: (name: string) => boolean
  /** Whether objects may have fields that calls do not have. */
  readonly foreignFields: boolean
}

/** `invalid`: what was read is no call; {@link CallReader.takeRaw} gives it back. */
export type ReadState = 'more' | 'done' | 'invalid'

const nameFields: readonly string[] = ['name']
const argumentFields: readonly string[] = ['arguments', 'parameters']
const otherFields: readonly string[] = ['type', 'id']

/**
 * Reads one call written as `{"name": …, "arguments": {…}}` while it arrives. Once its name is known, the arguments are
 * passed on as they come; should they come first, they wait for the name.
 */
export class CallReader {
  readonly #rules: CallRules
  #state: 'open' | 'key' | 'colon' | 'value' | 'next' = 'open'
  #raw = ''
  #key = ''
  #value = ''
  #extent: JsonExtent | null = null
  #name: string | null = null
  #begun = false
  #waiting: string | null = null
  #done = false

  constructor(rules: CallRules) {
    this.#rules = rules
  }

  /** Whether the call is told already, so that it cannot be taken back. */
  get begun(): boolean {
    return this.#begun
  }

  /** What was read so far, given back because it is no call. */
  takeRaw(): string {
    const raw = this.#raw
    this.#raw = ''
    return raw
  }

  /** Reads on; takes from `input` what belongs to the call. */
  read(input: TextInput, out: PieceList): ReadState {
    const { text } = input
    let streamed = ''
    let state: ReadState = 'more'
    let at = 0
    while (at < text.length && state === 'more') {
      const character = text[at]!
      const taken = this.#feed(character, out, (piece) => {
        streamed += piece
      })
      if (taken === 'behind') continue
      if (taken === 'invalid') state = 'invalid'
      else at += 1
      if (this.#done) state = 'done'
    }
    this.#keep(input.take(at))
    if (streamed !== '') out.add({ type: 'arguments', text: streamed })
    if (state === 'invalid' && this.#begun) state = 'done'
    if (state === 'done') out.add({ type: 'call-end' })
    return state
  }

  /** No more text comes. @returns whether a call was told */
  close(out: PieceList): boolean {
    if (!this.#begun) return false
    const unsaid = this.#isArguments && !this.#streams ? this.#value : ''
    if (unsaid !== '') out.add({ type: 'arguments', text: unsaid })
    out.add({ type: 'call-end' })
    return true
  }

  get #isArguments(): boolean {
    return argumentFields.includes(this.#key)
  }

  #keep(text: string): void {
    if (!this.#begun) this.#raw += text
  }

  #feed(character: string, out: PieceList, stream: (text: string) => void): 'taken' | 'behind' | 'invalid' {
    const isSpace = /\s/.test(character)
    switch (this.#state) {
      case 'open':
        if (isSpace) return 'taken'
        if (character !== '{') return 'invalid'
        this.#state = 'key'
        return 'taken'
      case 'key':
        return this.#feedKey(character, isSpace)
      case 'colon':
        if (isSpace) return 'taken'
        if (character !== ':') return 'invalid'
        this.#state = 'value'
        this.#value = ''
        this.#extent = null
        return 'taken'
      case 'value':
        return this.#feedValue(character, isSpace, out, stream)
      case 'next':
        if (isSpace) return 'taken'
        if (character === '}') this.#done = this.#complete(out)
        else if (character === ',') this.#state = 'key'
        else return 'invalid'
        return character === '}' && !this.#done ? 'invalid' : 'taken'
    }
  }

  #feedKey(character: string, isSpace: boolean): 'taken' | 'invalid' {
    if (this.#extent === null) {
      if (isSpace) return 'taken'
      if (character !== '"') return 'invalid'
      this.#extent = new JsonExtent()
      this.#key = ''
    }
    this.#key += character
    if (this.#extent.feed(character) !== 'last') return 'taken'
    const key = jsonValue(this.#key)
    this.#extent = null
    if (typeof key !== 'string') return 'invalid'
    this.#key = key
    const known = [...nameFields, ...argumentFields, ...otherFields].includes(this.#key)
    if (!known && !this.#rules.foreignFields) return 'invalid'
    this.#state = 'colon'
    return 'taken'
  }

  #feedValue(
    character: string,
    isSpace: boolean,
    out: PieceList,
    stream: (text: string) => void,
  ): 'taken' | 'behind' | 'invalid' {
    if (this.#extent === null) {
      if (isSpace) return 'taken'
      if (/[,:}\]]/.test(character)) return 'invalid'
      this.#extent = new JsonExtent()
    }
    const place = this.#extent.feed(character)
    if (place !== 'behind') {
      this.#value += character
      if (this.#streams) stream(character)
    }
    if (place === 'inside') return 'taken'
    const fits = this.#endValue(out, stream)
    this.#extent = null
    this.#state = 'next'
    return fits ? (place === 'behind' ? 'behind' : 'taken') : 'invalid'
  }

  /** Objects and lists are passed on as they come; other values may need another form. */
  get #streams(): boolean {
    return this.#begun && this.#isArguments && /^[{[]/.test(this.#value)
  }

  #endValue(out: PieceList, stream: (text: string) => void): boolean {
    if (this.#isArguments) {
      if (!this.#begun) this.#waiting = this.#value
      else if (!this.#streams) stream(argumentsText(this.#value))
      this.#waiting ??= ''
    } else if (nameFields.includes(this.#key) && this.#name === null) {
      const name = jsonValue(this.#value)
      if (typeof name !== 'string' || !this.#rules.accepts(name)) return false
      this.#name = name
      this.#begin(name, out)
    }
    this.#value = ''
    return true
  }

  #begin(name: string, out: PieceList): void {
    this.#begun = true
    this.#raw = ''
    out.add({ type: 'call', name })
    if (this.#waiting !== null) out.add({ type: 'arguments', text: argumentsText(this.#waiting) })
  }

  /** The object ends. @returns whether it was a call */
  #complete(out: PieceList): boolean {
    if (!this.#begun) return false
    if (this.#waiting === null) out.add({ type: 'arguments', text: '{}' })
    return true
  }
}

/** Reads calls that stand in a row: one object, several with separators, or a list in brackets. */
export class CallListReader {
  readonly #rules: CallRules
  readonly #separators: RegExp
  #reader: CallReader | null = null
  #bracket = ''
  #inList = false
  #calls = 0
  /** Read since the last call and no part of one. */
  #between = ''

  /** @param separators - matches a character that may stand between calls, outside of a list */
  constructor(rules: CallRules, separators: RegExp) {
    this.#rules = rules
    this.#separators = separators
  }

  /** Whether a call was told. */
  get calls(): number {
    return this.#calls
  }

  /** What was read and belongs to no call. */
  takeRaw(): string {
    const raw = this.#bracket + this.#between + (this.#reader?.takeRaw() ?? '')
    this.#bracket = ''
    this.#between = ''
    return raw
  }

  /** Reads on. `invalid` leaves text that is no call with {@link takeRaw}; calls before it are told. */
  read(input: TextInput, out: PieceList): ReadState {
    for (;;) {
      if (this.#reader === null) {
        const state = this.#readBetween(input)
        if (state !== 'open') return state
        this.#reader = new CallReader(this.#rules)
      }
      const state = this.#reader.read(input, out)
      if (this.#reader.begun) this.#bracket = ''
      if (state !== 'done') return state
      this.#reader = null
      this.#calls += 1
    }
  }

  /** No more text comes. */
  close(out: PieceList): void {
    if (this.#reader?.close(out)) {
      this.#reader = null
      this.#calls += 1
    }
  }

  #readBetween(input: TextInput): ReadState | 'open' {
    for (;;) {
      const character = input.text[0]
      if (character === undefined) return 'more'
      if (character === '{') {
        this.#between = ''
        return 'open'
      }
      if (character === '[' && !this.#inList && this.#calls === 0) {
        this.#inList = true
        this.#bracket += input.take(1)
      } else if (this.#inList && character === ']') {
        input.take(1)
        if (this.#calls > 0) return 'done'
        this.#bracket += ']'
        return 'invalid'
      } else if (/\s/.test(character) || (this.#calls > 0 && this.#isSeparator(character))) {
        this.#between += input.take(1)
      } else {
        return this.#calls > 0 && !this.#inList ? 'done' : 'invalid'
      }
    }
  }

  #isSeparator(character: string): boolean {
    return this.#inList ? character === ',' : this.#separators.test(character)
  }
}

/** Reads the arguments of a call whose name is told already: one JSON object or list, passed on as it comes. */
export class ArgumentsReader {
  #extent: JsonExtent | null = null

  /** @returns whether the arguments are complete; text that is no JSON leaves them empty and stays */
  read(input: TextInput, out: PieceList): boolean {
    if (this.#extent === null) {
      input.takeSpace()
      if (input.text === '') return false
      if (!/^[{[]/.test(input.text)) {
        out.add({ type: 'arguments', text: '{}' })
        return true
      }
      this.#extent = new JsonExtent()
    }
    const { text } = input
    let length = 0
    let done = false
    while (length < text.length && !done) {
      done = this.#extent.feed(text[length]!) === 'last'
      length += 1
    }
    if (length > 0) out.add({ type: 'arguments', text: input.take(length) })
    return done
  }

  /** No more text comes. */
  close(out: PieceList): void {
    if (this.#extent === null) out.add({ type: 'arguments', text: '{}' })
  }
}
