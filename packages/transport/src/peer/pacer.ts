interface Sent {
  /** All bytes sent up to and with it. */
  readonly end: number
  readonly atMs: number
  readonly deliveredBefore: number
  readonly deliveredAtMs: number
}

/** What may wait on the way beyond what the way itself holds. */
const QUEUE_MS = 10
const GAIN = 1.25
const STARTUP_GAIN = 2
const LEAST_BYTES = 128 * 1024
const RATE_KEPT_MS = 10_000

/**
 * Bounds what is under way of all but control messages to what the path delivers in its shortest round trip, and a
 * little: kernels and routers would queue megabytes otherwise, and a token would wait behind them. The rate is the
 * highest delivered lately, as in BBR (Cardwell et al. 2016); bytes count as delivered when the receiver credits them.
 */
export class Pacer {
  #sent = 0
  #delivered = 0
  #deliveredAtMs = 0
  #underWay: Sent[] = []
  #bytesPerMs = 0
  #rateAtMs = 0
  #isStarting = true

  get inFlightBytes(): number {
    return this.#sent - this.#delivered
  }

  /** @param shortestMs - shortest round trip known; `null` before the first */
  budgetBytes(shortestMs: number | null): number {
    if (shortestMs === null) return LEAST_BYTES
    const gain = this.#isStarting ? STARTUP_GAIN : GAIN
    return Math.max(LEAST_BYTES, this.#bytesPerMs * (gain * shortestMs + QUEUE_MS))
  }

  sent(sizeBytes: number, nowMs: number): void {
    if (this.inFlightBytes === 0) this.#deliveredAtMs = nowMs
    this.#sent += sizeBytes
    this.#underWay.push({
      end: this.#sent,
      atMs: nowMs,
      deliveredBefore: this.#delivered,
      deliveredAtMs: this.#deliveredAtMs,
    })
  }

  /** @param isIdle - nothing waits to be sent, so that the rate says little about the path */
  delivered(sizeBytes: number, nowMs: number, shortestMs: number | null, isIdle: boolean): void {
    this.#delivered = Math.min(this.#sent, this.#delivered + sizeBytes)
    this.#deliveredAtMs = nowMs
    let last: Sent | null = null
    while (this.#underWay.length > 0 && this.#underWay[0]!.end <= this.#delivered)
      last = this.#underWay.shift()!
    if (last === null) return
    const elapsedMs = Math.max(nowMs - last.deliveredAtMs, shortestMs ?? 0, 0.05)
    this.#rate((this.#delivered - last.deliveredBefore) / elapsedMs, nowMs, isIdle)
    if (shortestMs !== null && nowMs - last.atMs > 2 * shortestMs + QUEUE_MS) this.#isStarting = false
  }

  /** What was under way will not be credited: its link is gone. */
  forget(sizeBytes: number): void {
    this.#delivered = Math.min(this.#sent, this.#delivered + sizeBytes)
  }

  reset(): void {
    this.#delivered = this.#sent
    this.#underWay = []
    this.#bytesPerMs = 0
    this.#isStarting = true
  }

  #rate(bytesPerMs: number, nowMs: number, isIdle: boolean): void {
    const isStale = nowMs - this.#rateAtMs > RATE_KEPT_MS && !isIdle
    if (bytesPerMs < this.#bytesPerMs && !isStale) return
    this.#bytesPerMs = bytesPerMs
    this.#rateAtMs = nowMs
  }
}
