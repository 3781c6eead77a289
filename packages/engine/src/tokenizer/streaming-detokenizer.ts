import type { Tokenizer } from './tokenizer.ts'

export interface DetokenizerOptions {
  /** Leave control tokens out. Default true: they are no part of an answer. */
  readonly skipSpecial?: boolean
  /** Texts of control tokens that are shown all the same, because they mark parts of the answer. Default none. */
  readonly visible?: readonly string[]
  /**
   * Whether the tokens go on after a text that is already there, so that a space at their start is meant. When false,
   * tokenizers that put a space before every text lose it again. Default true.
   */
  readonly continuesText?: boolean
}

/**
 * Turns tokens into text as they come. Every returned piece is whole characters; a piece together with all before it
 * is what decoding all tokens at once gives. Bytes that may still become a character are held back; once they cannot,
 * U+FFFD stands for them. Work per token depends on that token alone.
 */
export class StreamingDetokenizer {
  readonly #tokenizer: Tokenizer
  readonly #skipSpecial: boolean
  readonly #visible: ReadonlySet<string>
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  #dropsSpace: boolean

  constructor(tokenizer: Tokenizer, options: DetokenizerOptions = {}) {
    this.#tokenizer = tokenizer
    this.#skipSpecial = options.skipSpecial ?? true
    this.#visible = new Set(options.visible)
    this.#dropsSpace = tokenizer.stripsLeadingSpace && !(options.continuesText ?? true)
  }

  /** @returns what can be shown now; often a word, sometimes nothing */
  push(token: number): string {
    if (this.#skipSpecial && this.#tokenizer.isSpecial(token) && !this.#isVisible(token)) return ''
    return this.#trim(this.#decoder.decode(this.#tokenizer.tokenBytes(token), { stream: true }))
  }

  /** @returns U+FFFD for a character that was never finished, else nothing; the detokenizer starts anew */
  flush(): string {
    return this.#trim(this.#decoder.decode())
  }

  #isVisible(token: number): boolean {
    return this.#visible.has(this.#tokenizer.tokenText(token) ?? '')
  }

  #trim(text: string): string {
    if (!this.#dropsSpace || text === '') return text
    this.#dropsSpace = false
    return text.startsWith(' ') ? text.slice(1) : text
  }
}
