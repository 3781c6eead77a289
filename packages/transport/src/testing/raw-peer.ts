import { dialTcp } from '../dial.ts'
import { type ChunkKind, ChunkReader, chunkHeader } from '../peer/chunk.ts'
import { type MachineKey, passingKey } from '../peer/machine-key.ts'
import { parsePeerAddress } from '../peer/peer-address.ts'
import { ringProof } from '../peer/ring-proof.ts'
import { secureStream } from '../peer/secure-stream.ts'
import { askCircuit } from '../relay/relay-client.ts'

/** A machine that is past the handshake and then sends what chunks it likes. */
export interface RawMachine {
  readonly binding: Buffer
  /** What came, but for data. */
  readonly heard: readonly { readonly kind: ChunkKind; readonly channel: number; readonly payload: Buffer }[]
  /** Bytes of data that came. */
  readonly dataBytes: () => number
  chunk(kind: ChunkKind, channel: number, payload: Uint8Array, priority?: number): void
  /** Opens a link with a proof that holds, unless one is given. */
  open(channel: number, ring: string, key: Uint8Array, proof?: Uint8Array): void
  bytes(bytes: Uint8Array): void
  /** Stops reading the socket at all. */
  stall(): void
  /** Grants no credit any more; what came meanwhile is granted at `release`. */
  hold(): void
  release(): void
  destroy(): void
  readonly closed: Promise<void>
  /** Resolves when the peer closes that channel. */
  channelClosed(channel: number): Promise<void>
}

export async function rawMachine(address: string, key: MachineKey = passingKey()): Promise<RawMachine> {
  const { at, key: expected, circuit } = parsePeerAddress(address)
  const raw =
    circuit === null
      ? await dialTcp(at, { timeoutMs: 5_000 })
      : (await askCircuit(dialTcp, at, circuit, 5_000)).stream
  const { stream, binding } = await secureStream(raw, {
    ...{ key, side: 'dialler', expected, timeoutMs: 5_000, name: at },
  })
  const heard: { kind: ChunkKind; channel: number; payload: Buffer }[] = []
  const waiting: { channel: number; resolve: () => void }[] = []
  const owed = new Map<string, { channel: number; priority: number; sizeBytes: number }>()
  let isHeld = false
  let dataBytes = 0
  const chunk = (kind: ChunkKind, channel: number, payload: Uint8Array, priority = 0): void => {
    stream.write(Buffer.concat([chunkHeader(kind, priority, channel, payload.length), payload]))
  }
  const grant = (): void => {
    for (const { channel, priority, sizeBytes } of owed.values()) {
      const payload = Buffer.alloc(4)
      payload.writeUInt32LE(sizeBytes)
      chunk('credit', channel, payload, priority)
    }
    owed.clear()
  }
  const reader = new ChunkReader({
    onData: (channel, priority, bytes) => {
      dataBytes += bytes.length
      const name = `${channel} ${priority}`
      const sizeBytes = (owed.get(name)?.sizeBytes ?? 0) + bytes.length
      owed.set(name, { channel, priority, sizeBytes })
    },
    onControl: (kind, channel, _, payload) => {
      heard.push({ kind, channel, payload })
      if (kind !== 'close') return
      for (const each of waiting) if (each.channel === channel) each.resolve()
    },
  })
  stream.on('error', () => {})
  stream.on('data', (bytes: Buffer) => {
    reader.push(bytes)
    if (!isHeld) grant()
  })
  stream.resume()
  const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()))
  return {
    binding,
    heard,
    dataBytes: () => dataBytes,
    chunk,
    open: (channel, ring, secretKey, proof) =>
      chunk(
        'open',
        channel,
        Buffer.concat([proof ?? ringProof(secretKey, binding, ring, channel, 'open'), Buffer.from(ring)]),
      ),
    bytes: (bytes) => {
      stream.write(bytes)
    },
    stall: () => stream.pause(),
    hold: () => {
      isHeld = true
    },
    release: () => {
      isHeld = false
      grant()
    },
    destroy: () => stream.destroy(),
    closed,
    channelClosed: (channel) =>
      Promise.race([
        closed,
        new Promise<void>((resolve) => {
          if (heard.some((each) => each.kind === 'close' && each.channel === channel)) resolve()
          waiting.push({ channel, resolve })
        }),
      ]),
  }
}
