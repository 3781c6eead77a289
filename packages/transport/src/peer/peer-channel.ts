import { priorities } from './chunk.ts'
import { Lane } from './outbox.ts'

/** Why one end of a channel ended it. */
export type CloseCode = 'closed' | 'unauthenticated' | 'unknown-ring' | 'full' | 'refused'
export const closeCodes: readonly CloseCode[] = [
  'closed',
  'unauthenticated',
  'unknown-ring',
  'full',
  'refused',
]

export interface ChannelOwner {
  /** The peer has proved that it is of the ring; only the end that opened hears it. */
  onAccepted(): void
  onData(priority: number, bytes: Uint8Array): void
  /** Called once, never inside a call of the channel. */
  onClose(reason: string, code: CloseCode): void
  /** Less waits than before. */
  onSent(): void
}

/** What a channel needs of its connection. */
export interface ChannelCarrier {
  send(lane: Lane): void
  credit(channel: number, priority: number, sizeBytes: number): void
  /** @param isFlushed - whether what waits goes first */
  close(channel: PeerChannel, reason: string, code: CloseCode, isFlushed: boolean): void
  transferred(sizeBytes: number, durationMs: number): void
  now(): number
}

interface Transfer {
  /** Of all bytes of the lane, where it ends. */
  readonly end: number
  readonly sizeBytes: number
  readonly atMs: number
}

const MEASURED_BYTES = 64 * 1024

/** One link's share of a connection: four streams of bytes, each in order, none of which waits for another's reader. */
export class PeerChannel {
  readonly lanes: readonly Lane[]
  /** What the peer may still send, by priority. */
  readonly allowance: number[]
  readonly #uncredited: number[]
  readonly #added: number[]
  readonly #credited: number[]
  readonly #transfers: Transfer[][]
  state: 'opening' | 'open' | 'closing' | 'closed' = 'opening'
  owner: ChannelOwner | null = null
  #isHeld = false

  constructor(
    readonly id: number,
    readonly windowBytes: number,
    private readonly carrier: ChannelCarrier,
  ) {
    this.lanes = priorities.map((_, priority) => new Lane(id, priority, windowBytes))
    this.allowance = priorities.map(() => windowBytes)
    this.#uncredited = priorities.map(() => 0)
    this.#added = priorities.map(() => 0)
    this.#credited = priorities.map(() => 0)
    this.#transfers = priorities.map(() => [])
  }

  get queuedBytes(): number {
    return this.lanes.reduce((sum, lane) => sum + lane.waitingBytes, 0)
  }

  write(parts: readonly Uint8Array[], sizeBytes: number, priority: number): void {
    if (this.state !== 'opening' && this.state !== 'open') return
    const lane = this.lanes[priority]!
    lane.add(parts)
    this.#added[priority]! += sizeBytes
    if (sizeBytes >= MEASURED_BYTES)
      this.#transfers[priority]!.push({ end: this.#added[priority]!, sizeBytes, atMs: this.carrier.now() })
    this.carrier.send(lane)
  }

  /** Stops granting credit: the peer sends a window more at most, at each priority. */
  hold(): void {
    this.#isHeld = true
  }

  release(): void {
    this.#isHeld = false
    this.flushCredit()
  }

  close(reason: string, code: CloseCode = 'closed'): void {
    this.carrier.close(this, reason, code, true)
  }

  /** Without what waits. */
  cut(reason: string, code: CloseCode = 'closed'): void {
    this.carrier.close(this, reason, code, false)
  }

  /** @returns whether the peer was allowed to send it */
  received(priority: number, bytes: Uint8Array): boolean {
    this.allowance[priority]! -= bytes.length
    if (this.allowance[priority]! < 0) return false
    this.#uncredited[priority]! += bytes.length
    if (this.state !== 'closed') this.owner?.onData(priority, bytes)
    return true
  }

  /** Grants again what was consumed. */
  flushCredit(): void {
    if (this.#isHeld || this.state === 'closed') return
    for (const [priority, sizeBytes] of this.#uncredited.entries()) {
      if (sizeBytes === 0) continue
      // Credit of control messages is not what others are paced by.
      if (priority === 0 && sizeBytes < this.windowBytes / 8) continue
      this.#uncredited[priority] = 0
      this.allowance[priority]! += sizeBytes
      this.carrier.credit(this.id, priority, sizeBytes)
    }
  }

  /** The peer has consumed as much. */
  credited(priority: number, sizeBytes: number): void {
    const lane = this.lanes[priority]!
    lane.openBytes -= sizeBytes
    lane.credit += sizeBytes
    this.#credited[priority]! += sizeBytes
    const transfers = this.#transfers[priority]!
    while (transfers.length > 0 && transfers[0]!.end <= this.#credited[priority]!) {
      const done = transfers.shift()!
      // A later one that waited behind it is not measured by its waiting.
      if (transfers[0] !== undefined)
        transfers[0] = { ...transfers[0], atMs: Math.max(transfers[0].atMs, this.carrier.now()) }
      this.carrier.transferred(done.sizeBytes, this.carrier.now() - done.atMs)
    }
  }
}
