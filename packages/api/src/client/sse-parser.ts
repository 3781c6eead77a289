export interface SseMessage {
  /** `message` unless the stream says otherwise. */
  readonly event: string
  readonly data: string
  /** The last id the stream has given; null before the first. */
  readonly id: string | null
}

/** An event is larger than this reader takes. */
export class SseOverflowError extends Error {
  override readonly name = 'SseOverflowError'
}

/**
 * Server-sent events out of bytes that are cut anywhere.
 *
 * @see WHATWG HTML, section 9.2.6, "Interpreting an event stream"
 */
export class SseParser {
  readonly #decoder = new TextDecoder()
  readonly #maxEventLength: number
  #rest = ''
  #afterReturn = false
  #event = ''
  #data: string[] = []
  #dataLength = 0
  #id: string | null
  #retryMs: number | null = null

  /**
   * @param lastId - the id a reader who comes back has
   * @param maxEventLength - characters; more is refused
   */
  constructor(lastId: string | null, maxEventLength: number) {
    this.#id = lastId
    this.#maxEventLength = maxEventLength
  }

  /** How long the stream asks to wait before connecting again; null if it does not ask. */
  get retryMs(): number | null {
    return this.#retryMs
  }

  /** @throws SseOverflowError if an event does not end */
  push(chunk: Uint8Array): readonly SseMessage[] {
    let text = this.#decoder.decode(chunk, { stream: true })
    // A line may end in two characters of which the first ended the chunk before.
    if (this.#afterReturn && text !== '') {
      this.#afterReturn = false
      if (text.startsWith('\n')) text = text.slice(1)
    }
    if (text.endsWith('\r')) this.#afterReturn = true
    const lines = text.split(/\r\n|\r|\n/)
    const last = lines.pop()!
    const messages: SseMessage[] = []
    for (const line of lines) {
      const message = this.#line(this.#rest + line)
      this.#rest = ''
      if (message) messages.push(message)
    }
    this.#rest += last
    this.#checkLength()
    return messages
  }

  #line(line: string): SseMessage | null {
    if (line === '') return this.#dispatch()
    const colon = line.indexOf(':')
    if (colon === 0) return null
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'event') this.#event = value
    else if (field === 'data') this.#append(value)
    else if (field === 'id' && !value.includes('\0')) this.#id = value
    else if (field === 'retry' && /^\d{1,9}$/.test(value)) this.#retryMs = Number(value)
    return null
  }

  #append(value: string): void {
    this.#data.push(value)
    this.#dataLength += value.length + 1
    this.#checkLength()
  }

  #checkLength(): void {
    if (this.#dataLength + this.#rest.length > this.#maxEventLength) {
      throw new SseOverflowError(`An event has more than ${this.#maxEventLength} characters.`)
    }
  }

  #dispatch(): SseMessage | null {
    const event = this.#event || 'message'
    const data = this.#data
    this.#event = ''
    this.#data = []
    this.#dataLength = 0
    return data.length === 0 ? null : { event, data: data.join('\n'), id: this.#id }
  }
}
