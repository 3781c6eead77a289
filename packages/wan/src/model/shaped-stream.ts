import type { Random } from '@deos/domain'
import type { DirectedLink } from './directed-link.ts'
import { lossDelayMs, retransmittedAtMs, SEGMENT_BYTES } from './tcp-loss.ts'
import { Throttle } from './throttle.ts'

interface Chunk {
  readonly sizeBytes: number
  readonly sentMs: number
  readonly arriveMs: number
}

/** Beyond bandwidth × round trip, a connection keeps this much of a link's time in queues. */
const QUEUE_MS = 50
const LEAST_WINDOW_BYTES = 256 * 1024
const LARGEST_WINDOW_BYTES = 32 * 2 ** 20

/**
 * The arithmetic of one direction of one connection: when bytes that enter now come out. Chunks come out whole and in
 * order, never before the link's delay; bandwidth, jitter, losses and outages make them later. Knows no sockets and no
 * clock; the same numbers in give the same numbers out.
 */
export class ShapedStream {
  readonly #waiting: Chunk[] = []
  readonly #unacknowledged: { readonly sizeBytes: number; readonly arrivedMs: number }[] = []
  readonly #roundTripMs: number
  readonly #cap: Throttle
  readonly #windowBytes: number
  #underWayBytes = 0
  #lastMs = Number.NEGATIVE_INFINITY

  /**
   * @param back - where acknowledgements go
   * @param random - of this direction of this connection alone
   */
  constructor(
    private readonly out: DirectedLink,
    private readonly back: DirectedLink,
    private readonly random: Random,
  ) {
    this.#roundTripMs = out.settings.oneWayMs + back.settings.oneWayMs
    // A congestion window is sent as one burst, and then waited for.
    const cap = out.capFor(this.#roundTripMs)
    this.#cap = new Throttle(cap, (cap * this.#roundTripMs) / 1000)
    const rate = Math.min(out.bytesPerSecond, this.#cap.bytesPerSecond)
    const holds = (rate * (this.#roundTripMs + QUEUE_MS)) / 1000
    this.#windowBytes = Math.min(LARGEST_WINDOW_BYTES, Math.max(LEAST_WINDOW_BYTES, holds))
  }

  /** Bytes enter; none at all is the end of the stream. */
  send(sizeBytes: number, nowMs: number): void {
    const { oneWayMs, jitterMs } = this.out.settings
    const leftMs = Math.max(this.out.leaveMs(sizeBytes, nowMs), this.#cap.take(sizeBytes, nowMs))
    const jitter = jitterMs === 0 ? 0 : jitterMs * this.random.next()
    const arriveMs = leftMs + oneWayMs + jitter + this.#lossDelayMs(sizeBytes)
    this.#waiting.push({ sizeBytes, sentMs: nowMs, arriveMs })
    this.#underWayBytes += sizeBytes
  }

  /** Whether the sender must wait: as much is under way as a connection here ever has. */
  isFull(nowMs: number): boolean {
    for (let head = this.#unacknowledged[0]; head !== undefined; head = this.#unacknowledged[0]) {
      if (this.#acknowledgedMs(head.arrivedMs) > nowMs) break
      this.#underWayBytes -= head.sizeBytes
      this.#unacknowledged.shift()
    }
    return this.#underWayBytes >= this.#windowBytes
  }

  /** Takes the next chunk out if it has come: its size, or null. */
  take(nowMs: number): number | null {
    const head = this.#waiting[0]
    if (head === undefined) return null
    const atMs = this.#throughMs(head)
    if (atMs > nowMs) return null
    this.#waiting.shift()
    this.#lastMs = atMs
    this.#unacknowledged.push({ sizeBytes: head.sizeBytes, arrivedMs: nowMs })
    return head.sizeBytes
  }

  /** When the next chunk comes; `Infinity` if none is under way, or nobody knows. */
  get arrivalMs(): number {
    const head = this.#waiting[0]
    return head === undefined ? Number.POSITIVE_INFINITY : this.#throughMs(head)
  }

  /** When the sender of a full stream may look again. */
  get roomMs(): number {
    const head = this.#unacknowledged[0]
    return head === undefined ? Number.POSITIVE_INFINITY : this.#acknowledgedMs(head.arrivedMs)
  }

  #throughMs({ sentMs, arriveMs }: Chunk): number {
    const again = (lostMs: number, backMs: number) => retransmittedAtMs(lostMs, backMs, this.#roundTripMs)
    return Math.max(this.#lastMs, this.out.throughMs(sentMs, arriveMs, again))
  }

  /** The next of them tells of all before, so that those that an outage swallowed are not waited for. */
  #acknowledgedMs(arrivedMs: number): number {
    return this.back.throughMs(arrivedMs, arrivedMs + this.back.settings.oneWayMs, (_, backMs) => backMs)
  }

  /** Of the first lost segment of a chunk: others are sent again with it. */
  #lossDelayMs(sizeBytes: number): number {
    const { loss } = this.out.settings
    if (loss === 0 || sizeBytes === 0) return 0
    const segments = Math.ceil(sizeBytes / SEGMENT_BYTES)
    for (let index = 0; index < segments; index++) {
      if (this.random.next() < loss) return lossDelayMs(this.#roundTripMs, index, segments)
    }
    return 0
  }
}
