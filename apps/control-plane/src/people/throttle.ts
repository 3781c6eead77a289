const maxRemembered = 10_000

/** Lets through what was not let through lately, so that notes of last use cost a write now and then only. */
export class Throttle {
  readonly #lastMs = new Map<string, number>()
  readonly #intervalMs: number

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs
  }

  isDue(name: string, at: Date): boolean {
    const lastMs = this.#lastMs.get(name)
    const nowMs = at.getTime()
    if (lastMs !== undefined && Math.abs(nowMs - lastMs) < this.#intervalMs) return false
    if (this.#lastMs.size >= maxRemembered) this.#lastMs.clear()
    this.#lastMs.set(name, nowMs)
    return true
  }
}
