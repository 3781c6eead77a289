import { GrammarError, GrammarLimitError } from './errors.ts'
import type { ParseState } from './recognizer.ts'
import type { TokenMasks } from './token-masks.ts'

/**
 * One answer in the making. Its masks allow only tokens after which the text can still be completed, stop token
 * included, before the limit: whatever is sampled, the answer is whole.
 *
 * The promise rests on an invariant. Behind every token a mask allows, the shortest completion fits into what then
 * remains. As long as that is counted in bytes, its first byte is a token that keeps the invariant. Where only the
 * count in tokens fits, the tokens of the completion found last are kept at hand, and the next of them keeps it.
 */
export class GrammarSession {
  readonly #masks: TokenMasks
  readonly #stopTokens: ReadonlySet<number>
  #state: ParseState
  #remaining: number
  /** 1 while room is kept for a stop token, so that the answer ends as finished and not as cut off. */
  readonly #reserve: number
  /** A completion that fits, where its bytes do not. */
  #plan: Int32Array | null = null
  #stopped = false

  /**
   * @param maxTokens - that may be generated in all
   * @throws GrammarLimitError if not even the shortest text fits
   */
  constructor(masks: TokenMasks, stopTokens: readonly number[], maxTokens: number) {
    this.#masks = masks
    this.#stopTokens = new Set(stopTokens)
    this.#state = masks.start
    this.#remaining = maxTokens
    const { distance } = this.#state
    if (distance + 1 <= maxTokens) {
      this.#reserve = 1
      return
    }
    const plan = masks.closing(this.#state)
    const needed = plan?.length ?? distance
    if (needed > maxTokens) throw new GrammarLimitError(needed, maxTokens)
    this.#reserve = needed + 1 <= maxTokens ? 1 : 0
    if (distance + this.#reserve > maxTokens) this.#plan = plan
  }

  /** The mask of the next token; the array is the caller's. */
  mask(): Uint32Array {
    const words =
      this.#stopped || this.#remaining <= 0 ? new Uint32Array(this.#masks.words) : this.#maskText()
    if (this.#stopped || this.#remaining <= 0 || this.#state.accepts)
      for (const token of this.#stopTokens) words[token >> 5]! |= 1 << (token & 31)
    return words
  }

  /** @throws GrammarError if the grammar does not allow the token here */
  accept(token: number): void {
    if (this.#stopped) throw refusal(token, 'after the text has ended')
    const next = this.#masks.advance(this.#state, token)
    if (this.#stopTokens.has(token)) {
      if (!next && !this.#state.accepts) throw refusal(token, 'before the text may end')
      this.#stopped = true
      return
    }
    if (!next) throw refusal(token, 'here')
    this.#state = next
    this.#remaining -= 1
    this.#replan(token)
  }

  #maskText(): Uint32Array {
    const budget = this.#remaining - 1 - this.#reserve
    const words = this.#masks.maskWithin(this.#state, budget, this.#plan !== null)
    const planned = this.#plan?.[0]
    if (planned !== undefined) words[planned >> 5]! |= 1 << (planned & 31)
    return words
  }

  #replan(token: number): void {
    if (this.#state.distance + this.#reserve <= this.#remaining) this.#plan = null
    else if (this.#plan?.[0] === token) this.#plan = this.#plan.subarray(1)
    else this.#plan = this.#masks.closing(this.#state)
  }
}

function refusal(token: number, where: string): GrammarError {
  return new GrammarError(
    `The grammar does not allow token ${token} ${where}.`,
    'Choose among the tokens of the mask.',
  )
}
