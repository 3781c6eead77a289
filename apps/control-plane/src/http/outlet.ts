import type { ServerResponse } from 'node:http'

/** A response written piece by piece, at the reader's pace. */
export class Outlet {
  readonly #response: ServerResponse
  readonly #gone: AbortSignal

  /** @param gone - aborts when nobody reads any more */
  constructor(response: ServerResponse, gone: AbortSignal) {
    this.#response = response
    this.#gone = gone
  }

  /** Whether the reader keeps up; pings need not queue behind what it has not taken. */
  get isReady(): boolean {
    return !this.#response.writableNeedDrain
  }

  /** Resolves when more may be written, or when nobody reads any more. */
  async write(chunk: Uint8Array | string): Promise<void> {
    if (this.#gone.aborted || this.#response.write(chunk)) return
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#response.off('drain', done)
        this.#gone.removeEventListener('abort', done)
        resolve()
      }
      this.#response.once('drain', done)
      this.#gone.addEventListener('abort', done, { once: true })
    })
  }

  end(): void {
    this.#response.end()
  }

  /** Breaks off, so that the reader sees that something is missing. */
  destroy(): void {
    this.#response.destroy()
  }
}

function nextUnlessAborted<T>(
  iterator: AsyncIterator<T>,
  signal: AbortSignal,
): Promise<IteratorResult<T> | null> {
  return new Promise((resolve, reject) => {
    const leave = () => resolve(null)
    if (signal.aborted) return leave()
    signal.addEventListener('abort', leave, { once: true })
    iterator
      .next()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', leave))
  })
}

/** Takes from `source` until `signal` aborts. The source is told to stop then, and not waited for. */
export async function* takeUntil<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await nextUnlessAborted(iterator, signal)
      if (next === null || next.done === true) return
      yield next.value
    }
  } finally {
    // What a source says while it is left concerns nobody.
    iterator.return?.().catch(() => undefined)
  }
}
