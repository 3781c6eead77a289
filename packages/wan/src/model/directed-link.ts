import type { LinkSettings } from '../profile/link-settings.ts'
import { lossCap } from './tcp-loss.ts'
import type { Throttle } from './throttle.ts'

/** A time in which a link passed nothing, `[fromMs, untilMs)`. */
interface Outage {
  readonly fromMs: number
  untilMs: number
}

/** One direction between two sites, as all connections share it. */
export class DirectedLink {
  readonly #outages: Outage[] = []
  /** Whether packets are answered by a reset. */
  resets = false
  #killAfterBytes = Number.POSITIVE_INFINITY

  /** @param throttles - what bytes pass on their way: access lines and the way itself */
  constructor(
    readonly settings: LinkSettings,
    private readonly throttles: readonly Throttle[],
  ) {}

  get bytesPerSecond(): number {
    return Math.min(...this.throttles.map((throttle) => throttle.bytesPerSecond))
  }

  /** The fastest that one connection with this round trip gets. */
  capFor(roundTripMs: number): number {
    return lossCap(roundTripMs, this.settings.loss)
  }

  /** When bytes that are there now have left: the narrowest part decides. */
  leaveMs(sizeBytes: number, nowMs: number): number {
    let atMs = nowMs
    for (const throttle of this.throttles) atMs = Math.max(atMs, throttle.take(sizeBytes, nowMs))
    return atMs
  }

  /** Lets nothing through from now on. */
  block(nowMs: number): void {
    if (this.blocked) return
    this.#outages.push({ fromMs: nowMs, untilMs: Number.POSITIVE_INFINITY })
  }

  /** Lets everything through again. */
  open(nowMs: number): void {
    const last = this.#outages.at(-1)
    if (last !== undefined && this.blocked) last.untilMs = nowMs
  }

  get blocked(): boolean {
    return this.#outages.at(-1)?.untilMs === Number.POSITIVE_INFINITY
  }

  /**
   * When something that was under way in `[sentMs, arriveMs)` gets through, given what was blocked meanwhile;
   * `Infinity` while nobody knows.
   *
   * @param again - when it is sent again after an outage from one time to another
   */
  throughMs(sentMs: number, arriveMs: number, again: (lostMs: number, backMs: number) => number): number {
    let from = sentMs
    let to = arriveMs
    for (const { fromMs, untilMs } of this.#outages) {
      if (fromMs >= to || untilMs <= from) continue
      if (untilMs === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY
      from = again(Math.max(fromMs, from), untilMs)
      to = from + this.settings.oneWayMs
    }
    return to
  }

  /** Once so many more bytes have come, the connection that brought the last of them is cut. */
  killAfter(bytes: number): void {
    this.#killAfterBytes = bytes
  }

  /** Counts bytes that come; whether their connection is to be cut. */
  kills(sizeBytes: number): boolean {
    this.#killAfterBytes -= sizeBytes
    if (this.#killAfterBytes > 0) return false
    this.#killAfterBytes = Number.POSITIVE_INFINITY
    return true
  }
}
