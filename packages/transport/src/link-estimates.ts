/** What a link was like lately; `null` is what is not known (yet). */
export interface LinkEstimates {
  /** Smoothed, to the peer's process and back. */
  readonly roundTripMs: number | null
  /** Mean deviation of round trips from the smoothed one. */
  readonly jitterMs: number | null
  /** Harmonic mean over the last transfers of at least 64 KiB. */
  readonly bytesPerSecond: number | null
}

/** How bytes of a link travel: to the peer itself, over a relay, or itself through the NATs between. */
export type LinkPath = 'direct' | 'relayed' | 'punched'

export const unknownEstimates: LinkEstimates = { roundTripMs: null, jitterMs: null, bytesPerSecond: null }

/** Weights of RFC 6298. */
const SMOOTHING = 1 / 8
const JITTER_SMOOTHING = 1 / 4
const TRANSFERS = 8

/** Smooths round trips and rates of transfer. */
export class LinkMeter {
  #roundTripMs: number | null = null
  #jitterMs = 0
  #transfers: number[] = []
  /** Shortest round trip seen on the path of now; `null` before the first. */
  shortestMs: number | null = null

  roundTrip(sampleMs: number): void {
    this.shortestMs = Math.min(this.shortestMs ?? sampleMs, sampleMs)
    if (this.#roundTripMs === null) {
      this.#roundTripMs = sampleMs
      this.#jitterMs = sampleMs / 2
      return
    }
    this.#jitterMs += JITTER_SMOOTHING * (Math.abs(this.#roundTripMs - sampleMs) - this.#jitterMs)
    this.#roundTripMs += SMOOTHING * (sampleMs - this.#roundTripMs)
  }

  transfer(sizeBytes: number, durationMs: number): void {
    this.#transfers.push((sizeBytes * 1000) / Math.max(0.01, durationMs))
    if (this.#transfers.length > TRANSFERS) this.#transfers.shift()
  }

  /** Another path is another link. */
  reset(): void {
    this.#roundTripMs = null
    this.#transfers = []
    this.shortestMs = null
  }

  read(): LinkEstimates {
    const count = this.#transfers.length
    return {
      roundTripMs: this.#roundTripMs,
      jitterMs: this.#roundTripMs === null ? null : this.#jitterMs,
      bytesPerSecond: count === 0 ? null : count / this.#transfers.reduce((sum, rate) => sum + 1 / rate, 0),
    }
  }
}
