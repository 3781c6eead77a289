import { Worker } from 'node:worker_threads'
import type { TokenizerDefinition } from './definition.ts'
import { TextTooLongError, TokenizerBusyError, TokenizerThreadError } from './errors.ts'
import type { ThreadData, ThreadReply, ThreadRequest } from './thread-messages.ts'
import { type EncodeOptions, MAX_TEXT_LENGTH, Tokenizer } from './tokenizer.ts'

export interface TokenizerPoolOptions {
  /**
   * The built `tokenizer-thread` entry: a path or a `file:` URL. `null` encodes every text on the calling thread, which
   * a long one then holds up.
   */
  readonly threadEntry: string | URL | null
  /** Texts up to this many UTF-16 code units are encoded at once by the caller. Default 4096. */
  readonly inlineLength?: number
  /** Long texts that may wait beside the one in work. Default 64. */
  readonly capacity?: number
}

interface Job {
  readonly text: string
  readonly options: EncodeOptions
  readonly resolve: (ids: Int32Array) => void
  readonly reject: (reason: unknown) => void
}

/**
 * A tokenizer that keeps the event loop free: short texts are encoded in place, long ones on a thread of their own,
 * one after another. The thread starts with the first long text. If it dies, the text it worked on fails with a
 * retriable error, and the next one gets a fresh thread.
 */
export class TokenizerPool {
  /** For everything but long texts: decoding, token bytes, ids. */
  readonly tokenizer: Tokenizer
  readonly #definition: TokenizerDefinition
  readonly #threadEntry: string | URL | null
  readonly #inlineLength: number
  readonly #capacity: number
  readonly #queue: Job[] = []
  #worker: Worker | null = null
  #current: Job | null = null
  #requests = 0
  #stopped = false

  /** @throws like the constructor of {@link Tokenizer} */
  constructor(definition: TokenizerDefinition, options: TokenizerPoolOptions) {
    this.tokenizer = new Tokenizer(definition)
    this.#definition = definition
    this.#threadEntry = options.threadEntry
    this.#inlineLength = options.inlineLength ?? 4096
    this.#capacity = options.capacity ?? 64
  }

  /**
   * @param signal - when it aborts, the promise rejects with its reason; a text in work is finished unheard
   * @throws TextTooLongError, TokenizerBusyError when too many texts wait, TokenizerThreadError when the thread died
   */
  async encode(text: string, options: EncodeOptions = {}, signal?: AbortSignal): Promise<Int32Array> {
    signal?.throwIfAborted()
    if (this.#stopped) throw new TokenizerThreadError('is stopped')
    if (text.length > MAX_TEXT_LENGTH) throw new TextTooLongError(text.length, MAX_TEXT_LENGTH)
    if (this.#threadEntry === null || text.length <= this.#inlineLength)
      return this.tokenizer.encode(text, options)
    if (this.#queue.length >= this.#capacity) throw new TokenizerBusyError(this.#capacity)
    return new Promise((resolve, reject) => {
      const job: Job = {
        text,
        options,
        resolve: (ids) => {
          signal?.removeEventListener('abort', abandon)
          resolve(ids)
        },
        reject: (reason) => {
          signal?.removeEventListener('abort', abandon)
          reject(reason)
        },
      }
      const abandon = () => {
        const waiting = this.#queue.indexOf(job)
        if (waiting >= 0) this.#queue.splice(waiting, 1)
        job.reject(signal?.reason)
      }
      signal?.addEventListener('abort', abandon, { once: true })
      this.#queue.push(job)
      this.#advance()
    })
  }

  /** Ends the thread; texts that wait fail. */
  async stop(): Promise<void> {
    this.#stopped = true
    const worker = this.#worker
    this.#worker = null
    const jobs = this.#current ? [this.#current, ...this.#queue] : [...this.#queue]
    this.#current = null
    this.#queue.length = 0
    for (const job of jobs) job.reject(new TokenizerThreadError('is stopped'))
    await worker?.terminate()
  }

  #advance(): void {
    if (this.#current !== null) return
    const job = this.#queue.shift()
    if (!job) {
      // An idle thread must not keep the process alive.
      this.#worker?.unref()
      return
    }
    this.#current = job
    this.#requests += 1
    const request: ThreadRequest = { id: this.#requests, text: job.text, options: job.options }
    try {
      const worker = this.#worker ?? this.#start()
      worker.ref()
      worker.postMessage(request)
    } catch (cause) {
      this.#current = null
      job.reject(new TokenizerThreadError(`cannot start from ${this.#threadEntry}`, cause))
    }
  }

  #start(): Worker {
    const data: ThreadData = { definition: this.#definition }
    const worker = new Worker(this.#threadEntry!, { workerData: data })
    worker.on('message', (reply: ThreadReply) => {
      if (worker === this.#worker && reply.id === this.#requests) this.#settle(reply)
    })
    worker.on('error', (error) => this.#lose(worker, `failed: ${error.message}`, error))
    worker.on('exit', (code) => this.#lose(worker, `ended with code ${code}`))
    this.#worker = worker
    return worker
  }

  #settle(reply: ThreadReply): void {
    const job = this.#current
    this.#current = null
    if ('ids' in reply) job?.resolve(reply.ids)
    else job?.reject(new TokenizerThreadError(`failed: ${reply.error}`))
    this.#advance()
  }

  #lose(worker: Worker, reason: string, cause?: unknown): void {
    if (worker !== this.#worker) return
    this.#worker = null
    const job = this.#current
    this.#current = null
    job?.reject(new TokenizerThreadError(reason, cause))
    this.#advance()
  }
}
