import type { ServerResponse } from 'node:http'
import { DeadlineError } from '../inference/errors.ts'

/** The client went away before its answer was complete; nobody is left to tell. */
export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError'
}

/**
 * Everything that can end a request early, as one signal: its client leaves, its deadline passes, the server stops.
 */
export class RequestScope {
  readonly #controller = new AbortController()
  readonly #response: ServerResponse
  readonly #timer: NodeJS.Timeout | undefined

  /** @param limitMs - 0 is unlimited */
  constructor(response: ServerResponse, limitMs: number) {
    this.#response = response
    response.on('close', this.#onClose)
    if (limitMs > 0) this.#timer = setTimeout(() => this.abort(new DeadlineError(limitMs)), limitMs)
    if (response.destroyed) this.#onClose()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason)
  }

  dispose(): void {
    clearTimeout(this.#timer)
    this.#response.off('close', this.#onClose)
  }

  readonly #onClose = (): void => {
    if (!this.#response.writableFinished) this.abort(new ClientGoneError('The client closed the connection.'))
  }
}
