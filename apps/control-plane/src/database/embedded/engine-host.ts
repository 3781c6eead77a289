import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import type { PGlite } from '@electric-sql/pglite'
import { EnginePort } from './engine-port.ts'
import type { ThreadData, ThreadReply, ThreadRequest } from './thread-messages.ts'

/** Where the engine runs. */
export interface EngineHost {
  /** The client's end of a new connection; it closes when the engine is gone. */
  connect(): MessagePort
  close(): Promise<void>
}

/** The engine on the calling thread, which it holds up while it works: for tests and for programs run from sources. */
export class LocalEngineHost implements EngineHost {
  readonly #server: EnginePort

  constructor(engine: PGlite) {
    this.#server = new EnginePort(engine)
  }

  connect(): MessagePort {
    const { port1, port2 } = new MessageChannel()
    this.#server.connect(port1)
    return port2
  }

  close(): Promise<void> {
    return this.#server.close()
  }
}

/** The engine on a thread of its own. If the thread dies, the next connection gets a new one over the same folder. */
export class ThreadEngineHost implements EngineHost {
  readonly #entry: URL
  readonly #folder: string | null
  readonly #onLost: (error: Error) => void
  #worker: Worker | null = null
  #closed = false

  constructor(entry: URL, folder: string | null, onLost: (error: Error) => void) {
    this.#entry = entry
    this.#folder = folder
    this.#onLost = onLost
  }

  /** @throws Error if the engine cannot open the folder */
  async start(): Promise<void> {
    const worker = this.#start()
    await replyOf(worker, 'ready')
  }

  connect(): MessagePort {
    const { port1, port2 } = new MessageChannel()
    if (this.#closed) port1.close()
    else
      (this.#worker ?? this.#start()).postMessage({ type: 'connect', port: port1 } satisfies ThreadRequest, [
        port1,
      ])
    return port2
  }

  async close(): Promise<void> {
    this.#closed = true
    const worker = this.#worker
    this.#worker = null
    if (worker === null) return
    worker.postMessage({ type: 'close' } satisfies ThreadRequest)
    await replyOf(worker, 'closed').catch(() => {})
    await worker.terminate()
  }

  #start(): Worker {
    const worker = new Worker(this.#entry, {
      workerData: { task: 'serve', folder: this.#folder } satisfies ThreadData,
    })
    worker.on('error', (error) => this.#lose(worker, error))
    worker.on('exit', (code) =>
      this.#lose(worker, new Error(`The database's thread ended with code ${code}`)),
    )
    this.#worker = worker
    return worker
  }

  #lose(worker: Worker, error: Error): void {
    if (worker !== this.#worker) return
    this.#worker = null
    // What was kept in memory is gone, and an empty database in its place would be worse than none.
    if (this.#folder === null) this.#closed = true
    this.#onLost(error)
  }
}

/** Writes an empty database on a thread that takes with it the memory this needs, several times what serving needs. */
export async function createOnThread(entry: URL, folder: string, image: string | null): Promise<void> {
  const worker = new Worker(entry, { workerData: { task: 'create', folder, image } satisfies ThreadData })
  await replyOf(worker, 'closed')
  await worker.terminate()
}

function replyOf(worker: Worker, type: ThreadReply['type']): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.on('message', (reply: ThreadReply) => {
      if (reply.type === type) resolve()
    })
    worker.once('error', reject)
    worker.once('exit', (code) => reject(new Error(`its thread ended with code ${code}`)))
  })
}
