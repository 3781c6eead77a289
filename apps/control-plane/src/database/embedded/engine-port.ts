import type { MessagePort } from 'node:worker_threads'
import type { PGlite } from '@electric-sql/pglite'

/**
 * Serves clients that speak PostgreSQL's protocol through ports, one at a time, for the engine has one session: whoever
 * connects takes the session over from the one before, with nothing left of what that one was in the middle of.
 */
export class EnginePort {
  readonly #engine: PGlite
  #client: MessagePort | null = null
  #queue: Promise<void> = Promise.resolve()

  constructor(engine: PGlite) {
    this.#engine = engine
  }

  connect(port: MessagePort): void {
    this.#enqueue(async () => {
      this.#client?.close()
      this.#client = port
      await this.#engine.exec('rollback')
      await this.#engine.exec('discard all')
      port.on('message', (bytes: Uint8Array) => this.#enqueue(() => this.#receive(port, bytes)))
    })
  }

  /** Resolves when everything asked before is done and the engine is closed. */
  async close(): Promise<void> {
    this.#enqueue(async () => {
      this.#client?.close()
      this.#client = null
      await this.#engine.close()
    })
    await this.#queue
  }

  #enqueue(work: () => Promise<void>): void {
    this.#queue = this.#queue.then(work)
  }

  async #receive(port: MessagePort, bytes: Uint8Array): Promise<void> {
    if (port !== this.#client) return
    if (bytes[0] === terminate) {
      this.#client = null
      port.close()
      return
    }
    if (bytes[0] === startup) {
      port.postMessage(await this.#engine.execProtocolRaw(bytes))
      return
    }
    const parts: Uint8Array[] = []
    // The bytes are a view of the engine's memory, which changes with the next call.
    await this.#engine.execProtocolRawStream(bytes, { onRawData: (part) => parts.push(part.slice()) })
    if (parts.length > 0) port.postMessage(Buffer.concat(parts))
  }
}

/** First byte of the message that ends a connection. */
const terminate = 'X'.charCodeAt(0)
/** Only the first message of a connection has no type: it begins with its length, which is small. */
const startup = 0
