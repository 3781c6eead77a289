export interface RestartLimits {
  /** Ends within `windowMs` that are answered by another start. */
  readonly restarts: number
  readonly windowMs: number
  readonly firstDelayMs: number
  readonly longestDelayMs: number
}

export const defaultRestartLimits: RestartLimits = {
  restarts: 5,
  windowMs: 60_000,
  firstDelayMs: 200,
  longestDelayMs: 5_000,
}

/** Decides whether and when something that ended is started again: each time later, and not for ever. */
export class RestartBudget {
  #ends: readonly number[] = []

  constructor(private readonly limits: RestartLimits) {}

  /** @returns how long to wait before the next start, or `null` when there have been too many */
  ended(nowMs: number): number | null {
    const { restarts, windowMs, firstDelayMs, longestDelayMs } = this.limits
    this.#ends = [...this.#ends.filter((endMs) => nowMs - endMs < windowMs), nowMs]
    if (this.#ends.length > restarts) return null
    return Math.min(firstDelayMs * 2 ** (this.#ends.length - 1), longestDelayMs)
  }
}
