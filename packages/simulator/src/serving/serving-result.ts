/** What a simulated fleet did. */
export interface ServingResult {
  /** Decode tokens that reached the sink in the window, by its seconds. */
  readonly decodeTokensPerSecond: number
  /** Of prompts and decode steps that ended in the window, ms from source to sink, ascending. */
  readonly promptMs: Float64Array
  readonly decodeMs: Float64Array
  /** Of requests that had steps that ended in the window: the mean of these, ascending. */
  readonly meanStepMs: Float64Array
  readonly finishedRequests: number
  /** By the router, or because what they needed never came back. */
  readonly turnedAway: number
  /** How often a request had to begin anew because a machine on its way was lost; tokens it had count as its prompt. */
  readonly restarted: number
  readonly events: number
  readonly simulatedMs: number
  /** Of each machine: share of the window in which it computed. */
  readonly busy: readonly number[]
  /** Of each machine: the most its KV cache held, as a share; above 1 a real machine would have had to evict. */
  readonly kvPeak: readonly number[]
  /** Of each machine: tokens in its KV cache at the end. */
  readonly kvHeld: readonly number[]
}

/** The value below which the given share of ascending values lies; NaN of none. */
export function percentile(ascending: Float64Array, share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? Number.NaN
}

/** Of ascending values, the share that is not above a limit; 1 of none, and without a limit. */
export function shareWithin(ascending: Float64Array, limit: number | null): number {
  if (limit === null || ascending.length === 0) return 1
  let low = 0
  let high = ascending.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (ascending[middle]! <= limit) low = middle + 1
    else high = middle
  }
  return low / ascending.length
}

/** Grows as it is filled. */
export class Samples {
  private values = new Float64Array(1024)
  private count = 0

  add(value: number): void {
    if (this.count === this.values.length) {
      const wide = new Float64Array(this.count * 2)
      wide.set(this.values)
      this.values = wide
    }
    this.values[this.count] = value
    this.count += 1
  }

  ascending(): Float64Array {
    return this.values.slice(0, this.count).sort()
  }
}
