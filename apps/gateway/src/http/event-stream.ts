import type { ServerResponse } from 'node:http'

export interface EventStreamLimits {
  /** Unsent bytes above which a reader counts as stuck. */
  readonly bufferBytes: number
  /** How long unsent bytes may make no progress. */
  readonly stallMs: number
  /** Silence after which a comment keeps the connection alive. */
  readonly pingMs: number
}

/** How a stream is cut into events: `sse` is server-sent events, `ndjson` one line of JSON each. */
export type Framing = 'sse' | 'ndjson'

/** A server-sent event with a name of its own. */
export class NamedEvent {
  constructor(
    readonly name: string,
    readonly data: unknown,
  ) {}
}

const contentTypes: Readonly<Record<Framing, string>> = {
  sse: 'text/event-stream; charset=utf-8',
  ndjson: 'application/x-ndjson',
}

/** The reader took its answer too slowly and was cut off. */
export class SlowReaderError extends Error {
  override readonly name = 'SlowReaderError'
}

/**
 * A stream of events on one response. Writing never waits: what the reader does not take is buffered up to a limit,
 * then the connection is destroyed and `onCut` told.
 */
export class EventStream {
  readonly #response: ServerResponse
  readonly #framing: Framing
  readonly #limits: EventStreamLimits
  readonly #onCut: (error: SlowReaderError) => void
  readonly #ticker: NodeJS.Timeout
  #unsent = 0
  #lastProgressMs = performance.now()
  #lastWriteMs = performance.now()
  #ended = false

  constructor(
    response: ServerResponse,
    headers: Readonly<Record<string, string>>,
    framing: Framing,
    limits: EventStreamLimits,
    onCut: (error: SlowReaderError) => void,
  ) {
    this.#response = response
    this.#framing = framing
    this.#limits = limits
    this.#onCut = onCut
    response.writeHead(200, {
      ...headers,
      'content-type': contentTypes[framing],
      'cache-control': 'no-cache, no-transform',
      // Asks proxies such as nginx to pass events on as they come.
      'x-accel-buffering': 'no',
    })
    response.flushHeaders()
    const tickMs = Math.max(1, Math.min(limits.pingMs, limits.stallMs) / 2)
    this.#ticker = setInterval(() => this.#tick(), tickMs)
    this.#ticker.unref()
    response.once('close', () => this.#stop())
  }

  /** One event; text is sent as it is, anything else as JSON. Names are for server-sent events alone. */
  send(item: unknown): void {
    if (item instanceof NamedEvent) {
      this.#write(`event: ${item.name}\ndata: ${JSON.stringify(item.data)}\n\n`)
      return
    }
    const text = typeof item === 'string' ? item : JSON.stringify(item)
    this.#write(this.#framing === 'sse' ? `data: ${text}\n\n` : `${text}\n`)
  }

  end(): void {
    if (this.#ended) return
    this.#stop()
    this.#watchEnd()
    this.#response.end()
  }

  #write(text: string): void {
    if (this.#ended || this.#response.destroyed) return
    if (this.#unsent === 0) this.#lastProgressMs = performance.now()
    this.#unsent += 1
    this.#lastWriteMs = performance.now()
    this.#response.write(text, () => {
      this.#unsent -= 1
      this.#lastProgressMs = performance.now()
    })
    if (this.#response.writableLength > this.#limits.bufferBytes) {
      this.#cut(`more than ${this.#limits.bufferBytes} bytes were waiting to be read`)
    }
  }

  #tick(): void {
    const nowMs = performance.now()
    if (this.#unsent > 0 && nowMs - this.#lastProgressMs > this.#limits.stallMs) {
      this.#cut(`nothing was read for ${this.#limits.stallMs / 1000} s`)
    } else if (this.#framing === 'sse' && nowMs - this.#lastWriteMs > this.#limits.pingMs) {
      this.#write(': ping\n\n')
    }
  }

  /** A finished answer that is not read must not hold its memory and connection for ever either. */
  #watchEnd(): void {
    const limit = setTimeout(() => this.#response.destroy(), this.#limits.stallMs)
    limit.unref()
    this.#response.once('close', () => clearTimeout(limit))
  }

  #cut(why: string): void {
    this.#stop()
    this.#onCut(new SlowReaderError(`The reader was cut off: ${why}.`))
    this.#response.destroy()
  }

  #stop(): void {
    this.#ended = true
    clearInterval(this.#ticker)
  }
}
