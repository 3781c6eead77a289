import { CallListReader, type CallRules } from './call-reader.ts'
import { StepParser } from './pieces.ts'
import { readPythonCall } from './python-call.ts'

export interface BareCallOptions {
  readonly tools: Pick<ReadonlySet<string>, 'has'>
  /** What may begin a call anywhere in the text, such as a fence or a control token. */
  readonly openings: readonly Opening[]
}

export interface Opening {
  readonly begin: string
  /** Ends what `begin` began; `null` if nothing does. */
  readonly end: string | null
  /** Whether the name of a call inside is believed even if no such tool is on offer. */
  readonly anyName: boolean
  /** The tool that takes code which is no call; `null` if code is content. */
  readonly codeTool: string | null
}

/**
 * Calls without marks of their own: an answer that begins as the JSON of a call to a tool on offer is one. Elsewhere in
 * the text, calls stand behind openings, as JSON or as a line of Python.
 */
export class BareCallParser extends StepParser {
  readonly #options: BareCallOptions
  #state: 'start' | 'text' | 'calls' | 'opened' | 'code' | 'closing' = 'start'
  #opening: Opening | null = null
  /** The end of an opening that is yet to come, behind text that does not belong there. */
  #unclosed: string | null = null
  /** Text that stands before what may be a call. */
  #before = ''
  #code = ''
  #reader: CallListReader

  constructor(options: BareCallOptions) {
    super()
    this.#options = options
    this.#reader = this.#newReader(null)
  }

  protected step(): boolean {
    switch (this.#state) {
      case 'start':
        return this.#start()
      case 'text':
        return this.#readText()
      case 'opened':
        return this.#opened()
      case 'calls':
        return this.#readCalls()
      case 'code':
        return this.#readCode()
      case 'closing':
        return this.#closing()
    }
  }

  protected close(): void {
    if (this.#state === 'calls') {
      this.#reader.close(this.out)
      if (this.#reader.calls > 0) this.#before = ''
      this.#giveBack('')
    } else if (this.#state === 'code') {
      this.#endCode('')
    } else {
      this.#giveBack('')
    }
  }

  #start(): boolean {
    this.#before += this.input.takeSpace()
    if (this.input.text === '') return false
    this.#state = 'text'
    if (!/^[{[]/.test(this.input.text)) {
      this.#giveBack('')
      return true
    }
    this.#beginCalls(null)
    return true
  }

  #readText(): boolean {
    const begins = this.#options.openings.map(({ begin }) => begin)
    const { text, marker } = this.input.takeUntil(
      this.#unclosed === null ? begins : [...begins, this.#unclosed],
    )
    this.out.content(text)
    if (marker === null) return false
    const opening = this.#options.openings.find(({ begin }) => begin === marker)
    this.#unclosed = null
    if (opening === undefined) return true
    this.#opening = opening
    this.#before = marker
    this.#state = 'opened'
    return true
  }

  #opened(): boolean {
    this.#before += this.input.takeSpace()
    if (this.input.text === '') return false
    if (/^[{[]/.test(this.input.text)) this.#beginCalls(this.#opening)
    else this.#state = 'code'
    return true
  }

  #beginCalls(opening: Opening | null): void {
    this.#opening = opening
    this.#reader = this.#newReader(opening)
    this.#state = 'calls'
  }

  #readCalls(): boolean {
    const state = this.#reader.read(this.input, this.out)
    if (this.#reader.calls > 0) this.#before = ''
    if (state === 'more') return false
    if (this.#opening?.end != null && this.#reader.calls > 0) {
      this.out.content(this.#reader.takeRaw().trim())
      this.#state = 'closing'
    } else {
      this.#giveBack('')
      this.#state = 'text'
    }
    return true
  }

  #readCode(): boolean {
    const end = this.#opening!.end
    if (end === null) {
      this.#code += this.input.take(this.input.text.length)
      return false
    }
    const { text, marker } = this.input.takeUntil([end])
    this.#code += text
    if (marker === null) return false
    this.#endCode(marker)
    this.#state = 'text'
    return true
  }

  #closing(): boolean {
    const end = this.#opening!.end!
    this.input.takeSpace()
    const ends = this.input.startsWith(end)
    if (ends === null) return false
    if (ends) this.input.take(end.length)
    else this.#unclosed = end
    this.#state = 'text'
    return true
  }

  /** Code is a call, or goes to the tool for code, or else was content with its marks. */
  #endCode(end: string): void {
    const code = this.#code
    this.#code = ''
    const { codeTool, anyName } = this.#opening!
    const call = readPythonCall(code)
    if (call !== null && (anyName || this.#options.tools.has(call.name))) this.#say(call.name, call.arguments)
    else if (codeTool !== null && code.trim() !== '') this.#say(codeTool, JSON.stringify({ code }))
    else this.#giveBack(code + end)
    this.#before = ''
  }

  #say(name: string, text: string): void {
    this.out.add({ type: 'call', name })
    this.out.add({ type: 'arguments', text })
    this.out.add({ type: 'call-end' })
  }

  /** What was held because it might have become a call. */
  #giveBack(more: string): void {
    this.out.content(this.#before + this.#reader.takeRaw() + more)
    this.#before = ''
  }

  #newReader(opening: Opening | null): CallListReader {
    const { tools } = this.#options
    const rules: CallRules = {
      accepts: (name) => opening?.anyName === true || tools.has(name),
      foreignFields: false,
    }
    return new CallListReader(rules, /[;,]/)
  }
}
