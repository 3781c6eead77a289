import type { Duplex } from 'node:stream'
import type { SampledToken } from '@deos/domain'
import type { EngineSession, RingCapacity, StepEntry } from '@deos/protocol'
import { pack, unpack } from 'msgpackr'
import type { EngineAssignment } from './engine-load.ts'

/** Worker → engine process. The payload of `step` is token ids or hidden states. */
export type EngineRequest =
  | { readonly type: 'load'; readonly assignment: EngineAssignment }
  | { readonly type: 'open'; readonly session: Omit<EngineSession, 'tokens'> }
  | { readonly type: 'close'; readonly key: number }
  | {
      readonly type: 'step'
      readonly id: number
      readonly entries: readonly StepEntry[]
      readonly embeds: boolean
    }
  | { readonly type: 'reset' | 'free-pages'; readonly id: number }

/** What a loaded engine is. */
export interface EngineReport {
  readonly capacity: RingCapacity
  readonly device: string
  readonly hiddenSize: number
  readonly vocabSize: number
}

/** Engine process → worker. The payload of `stepped` is hidden states. */
export type EngineReply =
  | { readonly type: 'progress'; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly type: 'loaded'; readonly report: EngineReport }
  | { readonly type: 'load-failed'; readonly message: string }
  | {
      readonly type: 'stepped'
      readonly id: number
      readonly sampled: readonly SampledToken[]
      readonly computeMs: number
    }
  | { readonly type: 'done'; readonly id: number; readonly value: number }
  | { readonly type: 'failed'; readonly id: number; readonly message: string }

const HEADER_BYTES = 8
const ALIGNMENT = 8

/**
 * Frames on the pipe between a worker and its engine process: two lengths, a msgpack head padded so that the payload
 * is aligned, the payload as it is. Both ends are ours and of one build, so the head needs no version.
 */
export class EnginePipe<Incoming, Outgoing> {
  private pending: Buffer[] = []
  private pendingBytes = 0
  private needed = HEADER_BYTES

  constructor(
    private readonly stream: Duplex,
    private readonly onFrame: (head: Incoming, payload: Uint8Array) => void,
  ) {
    stream.on('data', (chunk: Buffer) => this.push(chunk))
  }

  send(head: Outgoing, payload: Uint8Array = new Uint8Array()): void {
    const packed = pack(head)
    const padded = Math.ceil((HEADER_BYTES + packed.length) / ALIGNMENT) * ALIGNMENT
    const start = Buffer.alloc(padded)
    start.writeUInt32LE(packed.length, 0)
    start.writeUInt32LE(payload.byteLength, 4)
    start.set(packed, HEADER_BYTES)
    this.stream.cork()
    this.stream.write(start)
    if (payload.byteLength > 0) this.stream.write(payload)
    this.stream.uncork()
  }

  private push(chunk: Buffer): void {
    this.pending.push(chunk)
    this.pendingBytes += chunk.length
    while (this.pendingBytes >= this.needed) {
      const data = this.joined()
      const headLength = data.readUInt32LE(0)
      const payloadLength = data.readUInt32LE(4)
      const payloadStart = Math.ceil((HEADER_BYTES + headLength) / ALIGNMENT) * ALIGNMENT
      const end = payloadStart + payloadLength
      if (data.length < end) {
        this.needed = end
        return
      }
      this.needed = HEADER_BYTES
      this.pending = data.length > end ? [data.subarray(end)] : []
      this.pendingBytes = data.length - end
      this.onFrame(
        unpack(data.subarray(HEADER_BYTES, HEADER_BYTES + headLength)) as Incoming,
        // A plain view: Buffer's own slice() does not copy.
        new Uint8Array(data.buffer, data.byteOffset + payloadStart, payloadLength),
      )
    }
  }

  private joined(): Buffer {
    if (this.pending.length > 1) this.pending = [Buffer.concat(this.pending, this.pendingBytes)]
    return this.pending[0]!
  }
}
