import { LinkError } from '../link-error.ts'

/**
 * What travels on a connection between two machines: pieces of many links, each with a header of 12 bytes, little-endian.
 *
 * | offset | type | |
 * | ---: | --- | --- |
 * | 0 | u8 | kind |
 * | 1 | u8 | priority; 0 but for data and credit |
 * | 2 | u16 | 0 |
 * | 4 | u32 | channel; 0 for the connection itself |
 * | 8 | u32 | bytes that follow |
 */
export const CHUNK_HEADER_BYTES = 12

/** Most bytes of data in one chunk: what a token waits for at most. */
export const CHUNK_BYTES = 16 * 1024
const LONGEST_CONTROL_BYTES = 1024

/** First to last: what is sent of one priority waits for nothing of a later one but the chunk under way. */
export const priorities = ['control', 'activations', 'kv', 'weights'] as const
export type Priority = (typeof priorities)[number]
export const priorityIndex: Readonly<Record<Priority, number>> = {
  control: 0,
  activations: 1,
  kv: 2,
  weights: 3,
}

export const chunkKinds = {
  open: 1,
  accept: 2,
  data: 3,
  credit: 4,
  close: 5,
  ping: 6,
  pong: 7,
  move: 8,
  punch: 9,
} as const
export type ChunkKind = keyof typeof chunkKinds
const kindByCode = new Map<number, ChunkKind>(
  Object.entries(chunkKinds).map(([kind, code]) => [code, kind as ChunkKind]),
)

export function chunkHeader(kind: ChunkKind, priority: number, channel: number, sizeBytes: number): Buffer {
  const header = Buffer.allocUnsafe(CHUNK_HEADER_BYTES)
  header.writeUInt32LE(chunkKinds[kind] | (priority << 8), 0)
  header.writeUInt32LE(channel, 4)
  header.writeUInt32LE(sizeBytes, 8)
  return header
}

export interface ChunkHandlers {
  /** Bytes of a link, as they come: a chunk may come in several parts. */
  onData(channel: number, priority: number, bytes: Uint8Array): void
  onControl(kind: Exclude<ChunkKind, 'data'>, channel: number, priority: number, payload: Buffer): void
}

const malformed = (what: string): LinkError => new LinkError('LINK_PROTOCOL', `A chunk ${what}.`)

/** Reads chunks out of a byte stream cut anywhere; holds at most one header and one control payload. */
export class ChunkReader {
  readonly #held = Buffer.allocUnsafe(CHUNK_HEADER_BYTES + LONGEST_CONTROL_BYTES)
  #heldBytes = 0
  #dataLeft = 0
  #channel = 0
  #priority = 0

  constructor(private readonly handlers: ChunkHandlers) {}

  /** @throws LinkError if it is no chunk that may come */
  push(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#dataLeft > 0) {
        const end = Math.min(bytes.length, at + this.#dataLeft)
        this.#dataLeft -= end - at
        this.handlers.onData(this.#channel, this.#priority, bytes.subarray(at, end))
        at = end
      } else at = this.#hold(bytes, at)
    }
  }

  #hold(bytes: Buffer, at: number): number {
    const wanted = this.#heldBytes < CHUNK_HEADER_BYTES ? CHUNK_HEADER_BYTES : this.#controlEnd()
    const end = Math.min(bytes.length, at + wanted - this.#heldBytes)
    bytes.copy(this.#held, this.#heldBytes, at, end)
    this.#heldBytes += end - at
    if (this.#heldBytes < wanted) return end
    const kind = this.#checkHeader()
    if (kind === 'data') {
      this.#channel = this.#held.readUInt32LE(4)
      this.#priority = this.#held[1]!
      this.#dataLeft = this.#held.readUInt32LE(8)
      this.#heldBytes = 0
    } else if (this.#heldBytes === this.#controlEnd()) {
      const payload = Buffer.from(this.#held.subarray(CHUNK_HEADER_BYTES, this.#heldBytes))
      this.#heldBytes = 0
      this.handlers.onControl(kind, this.#held.readUInt32LE(4), this.#held[1]!, payload)
    }
    return end
  }

  #controlEnd(): number {
    return CHUNK_HEADER_BYTES + this.#held.readUInt32LE(8)
  }

  #checkHeader(): ChunkKind {
    const kind = kindByCode.get(this.#held[0]!)
    if (kind === undefined) throw malformed(`is of kind ${this.#held[0]}, which means nothing`)
    const priority = this.#held[1]!
    if (priority >= priorities.length || this.#held.readUInt16LE(2) !== 0)
      throw malformed('has a header with a priority or reserved bytes that mean nothing')
    const sizeBytes = this.#held.readUInt32LE(8)
    const longest = kind === 'data' ? CHUNK_BYTES : LONGEST_CONTROL_BYTES
    if (sizeBytes > longest) throw malformed(`of kind ${kind} has ${sizeBytes} bytes; at most are ${longest}`)
    return kind
  }
}
