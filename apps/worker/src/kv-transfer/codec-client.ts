import { Worker } from 'node:worker_threads'
import type { Calibration } from '@deos/codec'
import {
  BlockCodecError,
  type BlockCoding,
  type BlockFacts,
  decodeBlock,
  encodeBlock,
} from './block-codec.ts'
import type { LoadedCalibration } from './calibration-file.ts'
import type { CodecReply, CodecRequest, CodecSettings } from './codec-messages.ts'

interface Waiter {
  resolve(bytes: Uint8Array): void
  reject(error: Error): void
}

/** Larger blocks would hold up steps: about 2 ms of coding. */
const INLINE_BYTES = 16 * 1024

/** Codes blocks beside the event loop: on a thread that starts when the first block is too large to code at once. */
export class BlockCodec {
  #thread: Worker | null = null
  readonly #waiters = new Map<number, Waiter>()
  #nextId = 0

  /** @param entry - built script of the thread */
  constructor(
    private readonly entry: string,
    private readonly loaded: LoadedCalibration | null = null,
  ) {}

  get calibration(): Calibration | null {
    return this.loaded?.calibration ?? null
  }

  encode(rows: Uint8Array, facts: BlockFacts, coding: BlockCoding): Promise<Uint8Array> {
    if (rows.length <= INLINE_BYTES) return attempt(() => encodeBlock(rows, facts, coding, this.calibration))
    return this.#ask(coding, rows, facts)
  }

  decode(bytes: Uint8Array, facts: BlockFacts): Promise<Uint8Array> {
    const small = facts.tokens * facts.columns * 2 <= INLINE_BYTES
    return small ? attempt(() => decodeBlock(bytes, facts, this.calibration)) : this.#ask(null, bytes, facts)
  }

  async stop(): Promise<void> {
    await this.#thread?.terminate()
  }

  #ask(coding: BlockCoding | null, bytes: Uint8Array, facts: BlockFacts): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++
      this.#waiters.set(id, { resolve, reject })
      const request: CodecRequest = { id, coding, bytes: new Uint8Array(bytes), facts }
      this.#running().postMessage(request, [request.bytes.buffer])
    })
  }

  #running(): Worker {
    if (this.#thread !== null) return this.#thread
    const { loaded } = this
    const workerData: CodecSettings = {
      calibration: loaded && { bytes: loaded.bytes, model: loaded.calibration.model },
    }
    const thread = new Worker(this.entry, { workerData })
    this.#thread = thread
    thread.on('message', (reply: CodecReply) => {
      const waiter = this.#waiters.get(reply.id)
      this.#waiters.delete(reply.id)
      if ('bytes' in reply) waiter?.resolve(reply.bytes)
      else waiter?.reject(new BlockCodecError(reply.problem, 'It is sent again, or computed.'))
    })
    const lose = (reason: string): void => {
      if (this.#thread === thread) this.#thread = null
      const lost = [...this.#waiters.values()]
      this.#waiters.clear()
      const error = new BlockCodecError(
        `The thread that codes blocks ended: ${reason}.`,
        'It is started again.',
      )
      for (const waiter of lost) waiter.reject(error)
    }
    thread.on('error', (error) => lose(error.message))
    thread.on('exit', (code) => lose(`code ${code}`))
    return thread
  }
}

const attempt = (action: () => Uint8Array): Promise<Uint8Array> => new Promise((resolve) => resolve(action()))
