/**
 * A wire that passes so many bytes a second, one after another: a token bucket that may go into debt, so that nothing
 * is refused and everything has a time at which it is through.
 */
export class Throttle {
  /** When all that was taken so far is through, had it never been idle. */
  #freeMs = Number.NEGATIVE_INFINITY

  /**
   * @param bytesPerSecond - `Infinity` is no wire at all
   * @param burstBytes - pass at once after a pause
   */
  constructor(
    readonly bytesPerSecond: number,
    private readonly burstBytes = 0,
  ) {}

  /** Takes bytes that are there now. Returns when the last of them is through. */
  take(sizeBytes: number, nowMs: number): number {
    if (this.bytesPerSecond === Number.POSITIVE_INFINITY) return nowMs
    const burstMs = (this.burstBytes * 1000) / this.bytesPerSecond
    this.#freeMs = Math.max(this.#freeMs, nowMs - burstMs) + (sizeBytes * 1000) / this.bytesPerSecond
    return Math.max(nowMs, this.#freeMs)
  }
}
