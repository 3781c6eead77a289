import type { z } from 'zod'
import type { StreamEvent } from '../contract/route-types.ts'
import { problemSchema } from '../problem.ts'
import { ApiError, parseJson } from './api-error.ts'
import { type SseMessage, SseOverflowError, SseParser } from './sse-parser.ts'

export interface ReconnectPolicy {
  readonly firstDelayMs: number
  readonly maxDelayMs: number
  /** Attempts in a row that bring nothing before the stream is given up. */
  readonly maxAttempts: number
  /** Silence, pings included, after which a connection counts as dead. */
  readonly silenceMs: number
}

export const defaultReconnect: ReconnectPolicy = {
  firstDelayMs: 250,
  maxDelayMs: 5000,
  maxAttempts: 30,
  silenceMs: 45_000,
}

/** Resolves after a time, or rejects with the signal's reason. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>

export interface EventReaderParts {
  /** Connects; throws {@link ApiError}. */
  readonly open: (lastEventId: string | null, signal: AbortSignal) => Promise<Response>
  readonly reconnect: ReconnectPolicy
  readonly sleep: Sleep
  readonly random: () => number
}

const maxEventLength = 8 * 1024 * 1024

type Reader = ReadableStreamDefaultReader<Uint8Array>

/** The connection is gone, or as good as that. */
class BrokenStreamError extends Error {
  override readonly name = 'BrokenStreamError'
}

function broken(cause: unknown): BrokenStreamError {
  return new BrokenStreamError('The stream broke off.', { cause })
}

/** Aborts with `outer`, and by itself. */
function linkedController(outer: AbortSignal | undefined): {
  readonly controller: AbortController
  readonly release: () => void
} {
  const controller = new AbortController()
  const abort = () => controller.abort(outer?.reason)
  if (outer?.aborted) abort()
  outer?.addEventListener('abort', abort, { once: true })
  return { controller, release: () => outer?.removeEventListener('abort', abort) }
}

/** The events of one stream, through as many connections as it takes. */
export class EventReader<S extends z.ZodType> {
  readonly #schema: S
  readonly #parts: EventReaderParts
  readonly #signal: AbortSignal | undefined
  #lastId: string | null
  #attempts = 0
  #retryMs: number

  constructor(
    schema: S,
    lastEventId: string | null,
    signal: AbortSignal | undefined,
    parts: EventReaderParts,
  ) {
    this.#schema = schema
    this.#lastId = lastEventId
    this.#signal = signal
    this.#parts = parts
    this.#retryMs = parts.reconnect.firstDelayMs
  }

  /**
   * Ends when the server says that it is over. The first connection must succeed; later ones are tried again.
   *
   * @throws ApiError if the server refuses, sends what the contract does not know, or stays away
   */
  async *events(): AsyncGenerator<StreamEvent<z.output<S>>> {
    let connected = false
    for (;;) {
      const { controller, release } = linkedController(this.#signal)
      let cause: unknown = null
      try {
        const response = await this.#parts.open(this.#lastId, controller.signal)
        connected = true
        if (response.status === 204) return
        const over = yield* this.#connection(response, controller)
        if (over) return
      } catch (error) {
        this.#signal?.throwIfAborted()
        const again = error instanceof BrokenStreamError || (error instanceof ApiError && error.retriable)
        if (!connected || !again) throw error
        cause = error
      } finally {
        release()
        controller.abort()
      }
      await this.#pause(cause)
    }
  }

  async *#connection(
    response: Response,
    controller: AbortController,
  ): AsyncGenerator<StreamEvent<z.output<S>>, boolean> {
    if (response.body === null) throw broken(null)
    const parser = new SseParser(this.#lastId, maxEventLength)
    const reader = response.body.getReader()
    // Fetch may have forgotten the signal: Node loses it with the request, once that is collected (nodejs/undici#3644).
    controller.signal.addEventListener('abort', () => void reader.cancel().catch(() => {}), { once: true })
    try {
      for (;;) {
        const chunk = await this.#read(reader, controller)
        if (chunk === null) return false
        this.#attempts = 0
        const messages = this.#parse(parser, chunk)
        if (parser.retryMs !== null) this.#retryMs = parser.retryMs
        for (const message of messages) {
          if (message.event === 'end') return true
          if (message.event === 'problem') throw this.#problemOf(message)
          yield this.#eventOf(message)
        }
      }
    } finally {
      reader.cancel().catch(() => {})
    }
  }

  #parse(parser: SseParser, chunk: Uint8Array): readonly SseMessage[] {
    try {
      return parser.push(chunk)
    } catch (error) {
      if (error instanceof SseOverflowError) throw ApiError.unexpected(error.message.slice(0, -1), 200, null)
      throw error
    }
  }

  /** Null at the end of the connection. */
  async #read(reader: Reader, controller: AbortController): Promise<Uint8Array | null> {
    const rest = new AbortController()
    const silence = this.#parts.sleep(this.#parts.reconnect.silenceMs, rest.signal).then(
      () => {
        controller.abort()
        throw broken('silence')
      },
      () => new Promise<never>(() => {}),
    )
    try {
      const { done, value } = await Promise.race([reader.read(), silence])
      this.#signal?.throwIfAborted()
      return done ? null : value
    } catch (error) {
      this.#signal?.throwIfAborted()
      throw error instanceof BrokenStreamError ? error : broken(error)
    } finally {
      rest.abort()
    }
  }

  #eventOf(message: SseMessage): StreamEvent<z.output<S>> {
    const parsed = this.#schema.safeParse(parseJson(message.data))
    if (!parsed.success)
      throw ApiError.unexpected('An event of the stream is not one this client knows', 200, null)
    const changed = message.id !== this.#lastId
    this.#lastId = message.id
    return { id: changed ? message.id : null, data: parsed.data }
  }

  #problemOf(message: SseMessage): ApiError {
    const parsed = problemSchema.safeParse(parseJson(message.data))
    return parsed.success
      ? ApiError.ofProblem(parsed.data)
      : ApiError.unexpected('The stream ended with a problem that cannot be read', 500, null)
  }

  /** Longer every time, and not at the same moment for all readers of a server that came back. */
  async #pause(cause: unknown): Promise<void> {
    const { maxDelayMs, maxAttempts } = this.#parts.reconnect
    this.#attempts += 1
    if (this.#attempts > maxAttempts) {
      throw new ApiError(`The stream broke off, and ${maxAttempts} attempts to go on failed.`, {
        code: 'API_STREAM_LOST',
        hint: 'Check that the control plane runs, then follow the stream again.',
        retriable: true,
        cause,
      })
    }
    const longest = Math.min(maxDelayMs, this.#retryMs * 2 ** (this.#attempts - 1))
    const asked = cause instanceof ApiError ? (cause.retryAfterMs ?? 0) : 0
    const delayMs = Math.max(asked, longest * (0.5 + this.#parts.random() / 2))
    await this.#parts.sleep(delayMs, this.#signal ?? new AbortController().signal)
  }
}
