/** The window is counted in so many pieces; an amount leaves it a piece late rather than early. */
const PIECES = 60

/**
 * How much happened within the last while. Amounts are counted in pieces of the window, and the oldest piece counts whole
 * until all of it is past, so that no stretch of the window's length ever holds more than was allowed.
 */
export class RateWindow {
  readonly #amounts = new Float64Array(PIECES + 1)
  readonly #pieceMs: number
  /** Of the newest piece. */
  #newest = 0
  #total = 0

  constructor(readonly windowMs: number) {
    this.#pieceMs = windowMs / PIECES
  }

  /** @param nowMs - never less than before */
  total(nowMs: number): number {
    this.#advance(nowMs)
    return this.#total
  }

  /** @returns the piece that was counted in, for {@link correct} */
  add(amount: number, nowMs: number): number {
    this.#advance(nowMs)
    this.#amounts[this.#newest % this.#amounts.length]! += amount
    this.#total += amount
    return this.#newest
  }

  /** Changes what was added to a piece, as long as it still counts. */
  correct(piece: number, change: number, nowMs: number): void {
    this.#advance(nowMs)
    if (piece <= this.#newest - this.#amounts.length) return
    this.#amounts[piece % this.#amounts.length]! += change
    this.#total += change
  }

  /** Time until at most `limit` is left of what counts now. */
  timeUntil(limit: number, nowMs: number): number {
    this.#advance(nowMs)
    let left = this.#total
    const length = this.#amounts.length
    for (let age = length - 1; age >= 0 && left > limit; age -= 1) {
      const piece = this.#newest - age
      if (piece < 0) continue
      left -= this.#amounts[piece % length]!
      if (left <= limit) return Math.max(0, (piece + length) * this.#pieceMs - nowMs)
    }
    return left <= limit ? 0 : this.windowMs
  }

  #advance(nowMs: number): void {
    const piece = Math.floor(nowMs / this.#pieceMs)
    const length = this.#amounts.length
    const steps = Math.min(length, piece - this.#newest)
    for (let step = 1; step <= steps; step += 1) {
      const index = (piece - steps + step) % length
      this.#total -= this.#amounts[index]!
      this.#amounts[index] = 0
    }
    if (piece > this.#newest) this.#newest = piece
  }
}
