import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { DomainError } from '@deos/domain'

export class PeerChannelError extends DomainError {
  readonly code = 'PEER_CHANNEL'
  readonly retriable = true

  constructor(problem: string, options?: ErrorOptions) {
    super(`The connection to another machine ${problem}.`, 'It is tried again.', options)
  }
}

export interface PeerFrame {
  readonly header: unknown
  readonly payload: Buffer
}

const PREFIX_BYTES = 8
const LONGEST_HEADER = 4096
export const LONGEST_PAYLOAD = 8 * 2 ** 20

/** Messages over a stream: the lengths of header and payload as 32-bit numbers, the header as JSON, the payload. */
export class FrameChannel {
  readonly #chunks: AsyncIterator<Buffer>
  #buffered: Buffer[] = []
  #size = 0

  constructor(private readonly stream: Duplex) {
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    // Reads and writes tell of it.
    stream.on('error', () => undefined)
  }

  get isOpen(): boolean {
    return !this.stream.destroyed && this.stream.writable
  }

  close(): void {
    this.stream.destroy()
  }

  /** Null at the end. @throws PeerChannelError if the stream breaks or does not speak this */
  async read(): Promise<PeerFrame | null> {
    if (!(await this.#fill(PREFIX_BYTES))) return null
    const prefix = this.#take(PREFIX_BYTES)
    const headerBytes = prefix.readUInt32LE(0)
    const payloadBytes = prefix.readUInt32LE(4)
    if (headerBytes > LONGEST_HEADER || payloadBytes > LONGEST_PAYLOAD) {
      throw new PeerChannelError(
        `brought a message of ${headerBytes} and ${payloadBytes} bytes, which is too long`,
      )
    }
    if (!(await this.#fill(headerBytes + payloadBytes))) throw new PeerChannelError('ended amid a message')
    const header = parse(this.#take(headerBytes).toString('utf8'))
    return { header, payload: this.#take(payloadBytes) }
  }

  /** @throws PeerChannelError if the stream breaks */
  async write(header: unknown, payload: Uint8Array = new Uint8Array()): Promise<void> {
    const text = Buffer.from(JSON.stringify(header), 'utf8')
    const prefix = Buffer.allocUnsafe(PREFIX_BYTES)
    prefix.writeUInt32LE(text.length, 0)
    prefix.writeUInt32LE(payload.byteLength, 4)
    if (!this.isOpen) throw new PeerChannelError('is closed')
    this.stream.write(Buffer.concat([prefix, text]))
    if (payload.byteLength > 0) this.stream.write(payload)
    if (!this.stream.writableNeedDrain) return
    const ended = new AbortController()
    const { signal } = ended
    try {
      await Promise.race([once(this.stream, 'drain', { signal }), once(this.stream, 'close', { signal })])
    } catch (cause) {
      throw new PeerChannelError('broke off', { cause })
    } finally {
      ended.abort()
    }
  }

  async #fill(wanted: number): Promise<boolean> {
    while (this.#size < wanted) {
      const { done, value } = await this.#chunks.next().catch((cause: unknown) => {
        throw new PeerChannelError('broke off', { cause })
      })
      if (done === true) {
        if (this.#size > 0) throw new PeerChannelError('ended amid a message')
        return false
      }
      this.#buffered.push(value)
      this.#size += value.length
    }
    return true
  }

  #take(count: number): Buffer {
    const all = this.#buffered.length === 1 ? this.#buffered[0]! : Buffer.concat(this.#buffered)
    this.#buffered = all.length > count ? [all.subarray(count)] : []
    this.#size -= count
    return all.subarray(0, count)
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new PeerChannelError('brought a message that is not JSON', { cause })
  }
}
