/** Share of the newest interval in the running mean. */
const WEIGHT = 0.2
const MIN_RETRY_MS = 250
const MAX_RETRY_MS = 60_000
const UNMEASURED_RETRY_MS = 1_000

/** Tells how soon a full queue is worth another try, from how often sessions end. */
export class CompletionRate {
  #lastMs: number | null = null
  #intervalMs: number | null = null

  record(nowMs: number): void {
    if (this.#lastMs !== null) {
      const interval = nowMs - this.#lastMs
      this.#intervalMs =
        this.#intervalMs === null ? interval : this.#intervalMs + WEIGHT * (interval - this.#intervalMs)
    }
    this.#lastMs = nowMs
  }

  /** Nothing is running: the time until the next completion says nothing about speed. */
  pause(): void {
    this.#lastMs = null
  }

  /** Time until half of `queued` sessions have moved up; a crowd sent away together does not return to a full house. */
  retryAfterMs(queued: number): number {
    if (this.#intervalMs === null) return UNMEASURED_RETRY_MS
    const wait = this.#intervalMs * Math.max(1, queued / 2)
    return Math.round(Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, wait)))
  }
}
