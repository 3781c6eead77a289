import { type Random, seededRandom } from '@deos/domain'

/** What one client does next. */
export type SoakRequest =
  /** Greedy and with log-probabilities: can be checked against a run of its own. */
  | { readonly kind: 'checked'; readonly prompt: string; readonly maxTokens: number }
  | { readonly kind: 'sampled'; readonly prompt: string; readonly maxTokens: number; readonly seed: number }
  | { readonly kind: 'cancelled'; readonly prompt: string; readonly afterTokens: number }
  | { readonly kind: 'schema'; readonly prompt: string; readonly seed: number }
  | { readonly kind: 'embedding'; readonly prompt: string }

const shares = { checked: 0.5, sampled: 0.15, cancelled: 0.2, schema: 0.1, embedding: 0.05 } as const

/** Texts to begin with, so that many prompts share a prefix. */
const PREFIXES = 8
const LONGEST_PREFIX = 600
const LONGEST_TAIL = 400

/** Draws requests from a text; the same seed draws the same ones. */
export class SoakRequests {
  readonly #random: Random
  readonly #prefixes: readonly string[]

  constructor(
    private readonly text: string,
    seed: number,
  ) {
    this.#random = seededRandom(seed)
    this.#prefixes = Array.from({ length: PREFIXES }, () => this.#piece(LONGEST_PREFIX))
  }

  next(): SoakRequest {
    const kind = this.#kind()
    const prompt = this.#prompt()
    switch (kind) {
      case 'checked':
        return { kind, prompt, maxTokens: this.#draw(1, 48) }
      case 'sampled':
        return { kind, prompt, maxTokens: this.#length(), seed: this.#draw(0, 1e9) }
      case 'cancelled':
        return { kind, prompt, afterTokens: this.#draw(0, 12) }
      case 'schema':
        return { kind, prompt, seed: this.#draw(0, 1e9) }
      case 'embedding':
        return { kind, prompt }
    }
  }

  /** True in a share of cases. */
  chance(share: number): boolean {
    return this.#random.next() < share
  }

  /** Now and then far longer than what came before lets expect, so that somebody has to make room. */
  #length(): number {
    return this.chance(0.1) ? this.#draw(200, 400) : this.#draw(1, 96)
  }

  #kind(): SoakRequest['kind'] {
    let rest = this.#random.next()
    for (const [kind, share] of Object.entries(shares)) {
      rest -= share
      if (rest < 0) return kind as SoakRequest['kind']
    }
    return 'checked'
  }

  #prompt(): string {
    const prefix = this.chance(0.7) ? this.#prefixes[this.#draw(0, PREFIXES - 1)]! : ''
    return prefix.slice(0, this.#draw(0, prefix.length)) + this.#piece(LONGEST_TAIL)
  }

  /** Up to `longest` characters from somewhere in the text, at least one. */
  #piece(longest: number): string {
    const length = this.#draw(1, longest)
    const start = this.#draw(0, Math.max(0, this.text.length - length))
    return this.text.slice(start, start + length)
  }

  #draw(min: number, max: number): number {
    return min + Math.floor(this.#random.next() * (max - min + 1))
  }
}
