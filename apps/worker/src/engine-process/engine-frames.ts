import { decodeHead, type EngineMessage, encodeHead } from './engine-messages.ts'

const HEADER_BYTES = 8
const ALIGNMENT = 8

const align = (length: number): number => Math.ceil(length / ALIGNMENT) * ALIGNMENT

/** Two lengths, the head padded so that the payload is aligned, the payload as it is; one buffer, one write. */
export function encodeFrame(message: EngineMessage, payload: Uint8Array): Buffer {
  const head = encodeHead(message)
  const payloadStart = align(HEADER_BYTES + head.length)
  const frame = Buffer.allocUnsafe(payloadStart + payload.byteLength)
  frame.writeUInt32LE(head.length, 0)
  frame.writeUInt32LE(payload.byteLength, 4)
  frame.set(head, HEADER_BYTES)
  frame.set(payload, payloadStart)
  return frame
}

/** Takes frames out of a byte stream that comes in pieces of any size. */
export class FrameReader<M extends EngineMessage> {
  private buffer: Buffer = Buffer.alloc(64 * 1024)
  private start = 0
  private end = 0

  /** Room to read into; hand the number of bytes read to {@link FrameReader.advance}. */
  space(): Buffer {
    if (this.end === this.buffer.length) this.makeRoom()
    return this.buffer.subarray(this.end)
  }

  advance(count: number): void {
    this.end += count
  }

  push(chunk: Uint8Array): void {
    for (let offset = 0; offset < chunk.length; ) {
      const space = this.space()
      const part = chunk.subarray(offset, offset + space.length)
      space.set(part)
      this.advance(part.length)
      offset += part.length
    }
  }

  /** The next whole frame, its payload a copy of its own; null until more bytes came. */
  next(): { readonly message: M; readonly payload: Uint8Array } | null {
    if (this.end - this.start < HEADER_BYTES) return null
    const headLength = this.buffer.readUInt32LE(this.start)
    const payloadLength = this.buffer.readUInt32LE(this.start + 4)
    const payloadStart = this.start + align(HEADER_BYTES + headLength)
    const frameEnd = payloadStart + payloadLength
    if (this.end < frameEnd) {
      this.ensure(frameEnd - this.start)
      return null
    }
    const headStart = this.start + HEADER_BYTES
    const message = decodeHead(this.buffer.subarray(headStart, headStart + headLength)) as M
    const payload = new Uint8Array(payloadLength)
    payload.set(this.buffer.subarray(payloadStart, frameEnd))
    this.start = frameEnd
    if (this.start === this.end) {
      this.start = 0
      this.end = 0
    }
    return { message, payload }
  }

  private makeRoom(): void {
    if (this.start > 0) this.compact(this.buffer)
    else this.compact(Buffer.alloc(this.buffer.length * 2))
  }

  private ensure(frameBytes: number): void {
    if (this.start + frameBytes <= this.buffer.length) return
    this.compact(frameBytes <= this.buffer.length ? this.buffer : Buffer.alloc(frameBytes))
  }

  private compact(target: Buffer): void {
    this.buffer.copy(target, 0, this.start, this.end)
    this.end -= this.start
    this.start = 0
    this.buffer = target
  }
}
