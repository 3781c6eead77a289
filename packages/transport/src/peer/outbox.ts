import { CHUNK_BYTES, type ChunkKind, chunkHeader, priorities } from './chunk.ts'

/** What one link has to send at one priority. */
export class Lane {
  #parts: Uint8Array[] = []
  /** Of the first part that is sent. */
  #offset = 0
  waitingBytes = 0
  /** What the peer takes at the moment. */
  credit: number
  /** Sent and not credited. */
  openBytes = 0
  isListed = false

  constructor(
    readonly channel: number,
    readonly priority: number,
    credit: number,
  ) {
    this.credit = credit
  }

  add(parts: readonly Uint8Array[]): void {
    for (const part of parts) {
      if (part.length === 0) continue
      this.#parts.push(part)
      this.waitingBytes += part.length
    }
  }

  clear(): void {
    this.#parts = []
    this.#offset = 0
    this.waitingBytes = 0
  }

  get isReady(): boolean {
    return this.waitingBytes > 0 && this.credit > 0
  }

  /** A chunk of what waits, header first. */
  take(): { readonly parts: readonly Uint8Array[]; readonly sizeBytes: number } {
    const sizeBytes = Math.min(CHUNK_BYTES, this.waitingBytes, this.credit)
    const parts: Uint8Array[] = [chunkHeader('data', this.priority, this.channel, sizeBytes)]
    let left = sizeBytes
    while (left > 0) {
      const first = this.#parts[0]!
      const piece = first.subarray(this.#offset, this.#offset + left)
      parts.push(piece)
      left -= piece.length
      this.#offset += piece.length
      if (this.#offset < first.length) break
      this.#parts.shift()
      this.#offset = 0
    }
    this.waitingBytes -= sizeBytes
    this.credit -= sizeBytes
    this.openBytes += sizeBytes
    return { parts, sizeBytes }
  }
}

/** Decides what a connection sends next: by priority, in turns among links of one priority, a chunk at a time. */
export class Outbox {
  #control: Buffer[] = []
  controlBytes = 0
  readonly #lanes: Lane[][] = priorities.map(() => [])

  control(kind: ChunkKind, channel: number, payload: Buffer, priority = 0): void {
    const chunk = Buffer.concat([chunkHeader(kind, priority, channel, payload.length), payload])
    this.#control.push(chunk)
    this.controlBytes += chunk.length
  }

  /** After bytes or credit were added to it. */
  list(lane: Lane): void {
    if (lane.isListed || !lane.isReady) return
    lane.isListed = true
    this.#lanes[lane.priority]!.push(lane)
  }

  get hasBulk(): boolean {
    return this.#lanes.some((lanes, priority) => priority > 0 && lanes.length > 0)
  }

  takeControl(): Buffer | null {
    const chunk = this.#control.shift() ?? null
    if (chunk !== null) this.controlBytes -= chunk.length
    return chunk
  }

  /** @param mayBulk - whether anything but control messages may go now */
  nextLane(mayBulk: boolean): Lane | null {
    for (const [priority, lanes] of this.#lanes.entries()) {
      if (priority > 0 && !mayBulk) return null
      for (let lane = lanes.shift(); lane !== undefined; lane = lanes.shift()) {
        lane.isListed = false
        if (lane.isReady) return lane
      }
    }
    return null
  }
}
