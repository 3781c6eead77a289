import { Worker } from 'node:worker_threads'
import type { GrammarEngineOptions } from './engine.ts'
import { GrammarBusyError, GrammarThreadError } from './errors.ts'
import { GrammarServer } from './server.ts'
import {
  type GrammarReply,
  type GrammarRequest,
  type GrammarThreadData,
  reviveFailure,
} from './thread-messages.ts'
import type { GrammarVocabulary } from './vocabulary.ts'

export interface GrammarHostOptions {
  /**
   * The built thread entry, which calls `serveGrammars`: a path or a `file:` URL. `null` does all work on the calling
   * thread, which a large grammar then holds up.
   */
  readonly threadEntry: string | URL | null
  /** Grammars that may wait to be compiled or opened. Default 64. */
  readonly capacity?: number
  readonly engine?: GrammarEngineOptions
}

interface Session {
  readonly specText: string
  readonly maxTokens: number
  /** What a fresh thread needs to know to go on. */
  readonly tokens: number[]
  /** The thread that knows the session. */
  lane: Lane
}

interface Waiting {
  readonly isCompile: boolean
  readonly resolve: (reply: GrammarReply) => void
  readonly reject: (reason: unknown) => void
}

/** Something that takes requests in order: a thread, or the engine itself. */
interface Lane {
  send(request: GrammarRequest): void
  ref(): void
  unref(): void
  end(): Promise<void>
}

/**
 * Grammars of one model, compiled and followed on a thread of their own. Calls take effect in the order they are made.
 *
 * If the thread dies, what it worked on fails with a retriable error, a mask is asked for once more, and sessions go on
 * where they were.
 */
export class GrammarHost {
  readonly #vocabulary: GrammarVocabulary
  readonly #threadEntry: string | URL | null
  readonly #capacity: number
  readonly #engineOptions: GrammarEngineOptions
  readonly #sessions = new Map<number, Session>()
  readonly #waiting = new Map<number, Waiting>()
  #compiles = 0
  #requests = 0
  #lane: Lane | null = null
  #stopped = false

  constructor(vocabulary: GrammarVocabulary, options: GrammarHostOptions) {
    this.#vocabulary = vocabulary
    this.#threadEntry = options.threadEntry
    this.#capacity = options.capacity ?? 64
    this.#engineOptions = options.engine ?? {}
  }

  /**
   * Compiles a grammar and keeps it for `open`.
   *
   * @param maxTokens - that an answer may have
   * @throws GrammarError if it is not understood, cannot be enforced, or no text satisfies it; GrammarLimitError if
   * not even the shortest text fits; GrammarBusyError when too many wait; GrammarThreadError when the thread died
   */
  async prepare(specText: string, maxTokens: number): Promise<void> {
    await this.#compile((id) => ({ kind: 'prepare', id, specText, maxTokens }))
  }

  /**
   * Begins an answer, or takes one up again.
   *
   * @param key - not open already
   * @param generated - tokens of the answer so far
   * @param maxTokens - that the answer may have in all, `generated` included
   * @throws like {@link prepare}; GrammarLimitError if not even the shortest text fits `maxTokens`
   */
  async open(key: number, specText: string, generated: Int32Array, maxTokens: number): Promise<void> {
    if (this.#sessions.has(key)) throw new Error(`The grammar session ${key} is open already.`)
    const tokens = [...generated]
    const opened = this.#compile((id) => ({ kind: 'open', id, key, specText, generated, maxTokens }))
    const session = { specText, maxTokens, tokens, lane: this.#lane! }
    this.#sessions.set(key, session)
    try {
      await opened
    } catch (error) {
      if (this.#sessions.get(key) === session) this.#sessions.delete(key)
      throw error
    }
  }

  /**
   * Which tokens may come next: bit `i & 31` of word `i >> 5` for token `i`, one word per 32 logits. At least one bit
   * is set. Stop tokens are allowed where the text may end, and alone once it has or once `maxTokens` are there.
   *
   * @throws GrammarError if a token was accepted that the grammar does not allow; GrammarThreadError
   */
  async mask(key: number): Promise<Uint32Array> {
    try {
      return await this.#askMask(key)
    } catch (error) {
      if (!(error instanceof GrammarThreadError) || this.#stopped) throw error
      return this.#askMask(key)
    }
  }

  /** Appends a token to the answer. One that the grammar does not allow fails the next {@link mask}. */
  accept(key: number, token: number): void {
    const session = this.#session(key)
    session.tokens.push(token)
    if (session.lane === this.#lane) this.#lane.send({ kind: 'accept', key, token })
  }

  /** Forgets the answer; nothing happens if it is not open. */
  close(key: number): void {
    const session = this.#sessions.get(key)
    if (!session) return
    this.#sessions.delete(key)
    if (session.lane === this.#lane) this.#lane.send({ kind: 'close', key })
  }

  /** Ends the thread; what waits fails. */
  async stop(): Promise<void> {
    this.#stopped = true
    const lane = this.#lane
    this.#lane = null
    this.#sessions.clear()
    this.#failAll(new GrammarThreadError('is stopped'))
    await lane?.end()
  }

  #compile(request: (id: number) => GrammarRequest): Promise<GrammarReply> {
    if (this.#compiles >= this.#capacity) throw new GrammarBusyError(this.#capacity)
    return this.#ask(request, true)
  }

  async #askMask(key: number): Promise<Uint32Array> {
    const session = this.#session(key)
    const { specText, maxTokens, tokens } = session
    const lane = this.#liveLane()
    if (session.lane !== lane) {
      session.lane = lane
      const generated = Int32Array.from(tokens)
      await this.#ask((id) => ({ kind: 'open', id, key, specText, generated, maxTokens }), false)
    }
    const { mask } = await this.#ask((id) => ({ kind: 'mask', id, key }), false)
    return mask!
  }

  async #ask(request: (id: number) => GrammarRequest, isCompile: boolean): Promise<GrammarReply> {
    const lane = this.#liveLane()
    this.#requests += 1
    const id = this.#requests
    const reply = new Promise<GrammarReply>((resolve, reject) =>
      this.#waiting.set(id, { isCompile, resolve, reject }),
    )
    if (isCompile) this.#compiles += 1
    lane.ref()
    lane.send(request(id))
    return reply
  }

  #session(key: number): Session {
    const session = this.#sessions.get(key)
    if (!session) throw new Error(`No grammar session ${key} is open.`)
    return session
  }

  #liveLane(): Lane {
    if (this.#stopped) throw new GrammarThreadError('is stopped')
    this.#lane ??= this.#threadEntry === null ? this.#startHere() : this.#startThread(this.#threadEntry)
    return this.#lane
  }

  #startHere(): Lane {
    const server = new GrammarServer(this.#vocabulary, this.#engineOptions)
    return {
      send: (request) => {
        const reply = server.handle(request)
        if (reply) this.#settle(reply)
      },
      ref: () => {},
      unref: () => {},
      end: async () => {},
    }
  }

  #startThread(entry: string | URL): Lane {
    const workerData: GrammarThreadData = { vocabulary: this.#vocabulary, options: this.#engineOptions }
    let worker: Worker
    try {
      worker = new Worker(entry, { workerData })
    } catch (cause) {
      throw new GrammarThreadError(`cannot start from ${entry}`, cause)
    }
    const lane: Lane = {
      send: (request) => worker.postMessage(request),
      ref: () => worker.ref(),
      unref: () => worker.unref(),
      end: async () => {
        await worker.terminate()
      },
    }
    worker.on('message', (reply: GrammarReply) => this.#settle(reply))
    worker.on('error', (error) => this.#lose(lane, `failed: ${error.message}`, error))
    worker.on('exit', (code) => this.#lose(lane, `ended with code ${code}`))
    return lane
  }

  #settle(reply: GrammarReply): void {
    const waiting = this.#waiting.get(reply.id)
    if (!waiting) return
    this.#waiting.delete(reply.id)
    if (waiting.isCompile) this.#compiles -= 1
    // An idle thread must not keep the process alive.
    if (this.#waiting.size === 0) this.#lane?.unref()
    if (reply.failure) waiting.reject(reviveFailure(reply.failure))
    else waiting.resolve(reply)
  }

  #lose(lane: Lane, reason: string, cause?: unknown): void {
    if (lane !== this.#lane) return
    this.#lane = null
    this.#failAll(new GrammarThreadError(reason, cause))
  }

  #failAll(error: GrammarThreadError): void {
    const all = [...this.#waiting.values()]
    this.#waiting.clear()
    this.#compiles = 0
    for (const { reject } of all) reject(error)
  }
}
