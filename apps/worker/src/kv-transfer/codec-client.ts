import { Worker } from 'node:worker_threads'
import type { Calibration } from '@deos/codec'
import {
  BlockCodecError,
  type BlockCoding,
  type BlockFacts,
  decodeBlock,
  encodeBlock,
  isPlain,
} from './block-codec.ts'
import type { LoadedCalibration } from './calibration-file.ts'
import type { CodecReply, CodecRequest, CodecSettings } from './codec-messages.ts'
import { CodingWorth } from './coding-worth.ts'

interface Coded {
  readonly bytes: Uint8Array
  readonly durationMs: number
}

interface Waiter {
  resolve(coded: Coded): void
  reject(error: Error): void
}

/** Larger blocks would hold up steps: about 2 ms of coding. */
const INLINE_BYTES = 16 * 1024

/** Codes blocks beside the event loop: on a thread that starts when the first block is too large to code at once. */
export class BlockCodec {
  /** What coding without loss costs here. */
  readonly worth = new CodingWorth()
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

  async encode(rows: Uint8Array, facts: BlockFacts, coding: BlockCoding): Promise<Uint8Array> {
    const small = rows.length <= INLINE_BYTES || coding.plain === true
    const { bytes, durationMs } = small
      ? await attempt(() => encodeBlock(rows, facts, coding, this.calibration))
      : await this.#ask(coding, rows, facts)
    const exact = coding.level === 0 && coding.plain !== true && rows.length > 0
    if (exact) this.worth.encoded({ plainBytes: rows.length, codedBytes: bytes.length, durationMs })
    return bytes
  }

  async decode(bytes: Uint8Array, facts: BlockFacts): Promise<Uint8Array> {
    const small = facts.tokens * facts.columns * 2 <= INLINE_BYTES || isPlain(bytes)
    const { bytes: rows, durationMs } = small
      ? await attempt(() => decodeBlock(bytes, facts, this.calibration))
      : await this.#ask(null, bytes, facts)
    const coded = rows.length > 0 && !isPlain(bytes)
    if (coded) this.worth.decoded({ plainBytes: rows.length, codedBytes: bytes.length, durationMs })
    return rows
  }

  async stop(): Promise<void> {
    await this.#thread?.terminate()
  }

  #ask(coding: BlockCoding | null, bytes: Uint8Array, facts: BlockFacts): Promise<Coded> {
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
      if ('bytes' in reply) waiter?.resolve(reply)
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

const attempt = (action: () => Uint8Array): Promise<Coded> =>
  new Promise((resolve) => {
    const beganMs = performance.now()
    resolve({ bytes: action(), durationMs: performance.now() - beganMs })
  })
