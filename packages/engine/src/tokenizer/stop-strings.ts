export interface StopResult {
  /** Text that may be shown: before the stop string, and not possibly the start of one. */
  readonly text: string
  /** The stop string that was found; nothing after it matters. */
  readonly stop: string | null
}

/**
 * Finds the first stop string in text that arrives in pieces, however it is cut. First is the one that ends first,
 * the longest of those that end together: what a reader of single characters would see first.
 *
 * Each stop string is followed by its own Knuth–Morris–Pratt automaton, so work is linear in the text.
 */
export class StopStrings {
  readonly #stops: readonly StopAutomaton[]
  #held = ''
  #done = false

  /** @throws RangeError if a stop string is empty or half a character */
  constructor(stops: readonly string[]) {
    for (const stop of stops) {
      if (stop === '' || /\p{Surrogate}/u.test(stop)) {
        throw new RangeError(
          `${JSON.stringify(stop)} cannot be a stop string; give at least one whole character.`,
        )
      }
    }
    // Longest first, so that of stops that end together the longest is found.
    this.#stops = [...stops].sort((a, b) => b.length - a.length).map((stop) => new StopAutomaton(stop))
  }

  /** @throws Error once a stop string was found */
  push(piece: string): StopResult {
    if (this.#done) throw new Error('Text came after a stop string was found.')
    if (this.#stops.length === 0) return { text: piece, stop: null }
    for (let i = 0; i < piece.length; i += 1) {
      const found = this.#step(piece.charCodeAt(i))
      if (found === null) continue
      this.#done = true
      const seen = this.#held + piece.slice(0, i + 1)
      this.#held = ''
      return { text: seen.slice(0, seen.length - found.text.length), stop: found.text }
    }
    const seen = this.#held + piece
    const heldLength = this.#stops.reduce((longest, stop) => Math.max(longest, stop.matched), 0)
    this.#held = seen.slice(seen.length - heldLength)
    return { text: seen.slice(0, seen.length - heldLength), stop: null }
  }

  /** @returns what was held back and turned out to be no stop string */
  flush(): string {
    const rest = this.#held
    this.#held = ''
    for (const stop of this.#stops) stop.matched = 0
    return rest
  }

  #step(unit: number): StopAutomaton | null {
    let found: StopAutomaton | null = null
    for (const stop of this.#stops) {
      if (stop.step(unit) && found === null) found = stop
    }
    return found
  }
}

class StopAutomaton {
  /** Length of the longest start of the stop string that the text ends with. */
  matched = 0
  /** For each length of a start: the next shorter start that ends it too. */
  readonly #fallbacks: Int32Array

  constructor(readonly text: string) {
    this.#fallbacks = new Int32Array(text.length + 1)
    let shorter = 0
    for (let length = 1; length < text.length; length += 1) {
      while (shorter > 0 && text.charCodeAt(length) !== text.charCodeAt(shorter))
        shorter = this.#fallbacks[shorter]!
      if (text.charCodeAt(length) === text.charCodeAt(shorter)) shorter += 1
      this.#fallbacks[length + 1] = shorter
    }
  }

  /** @returns whether the stop string is complete */
  step(unit: number): boolean {
    while (this.matched > 0 && unit !== this.text.charCodeAt(this.matched)) {
      this.matched = this.#fallbacks[this.matched]!
    }
    if (unit === this.text.charCodeAt(this.matched)) this.matched += 1
    return this.matched === this.text.length
  }
}
