import { EXIT_INTERRUPTED, InterruptedError } from './cli-error.ts'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Signals of one command: the first aborts `signal`, a second ends the process at once. */
export class Interrupts {
  readonly #controller = new AbortController()
  readonly #onSignal = () => {
    if (this.#controller.signal.aborted) process.exit(EXIT_INTERRUPTED)
    this.#controller.abort(new InterruptedError())
  }

  constructor() {
    for (const name of signals) process.on(name, this.#onSignal)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Resolves at the first signal. */
  get happened(): Promise<void> {
    return new Promise((resolve) => {
      if (this.signal.aborted) resolve()
      else this.signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  dispose(): void {
    for (const name of signals) process.off(name, this.#onSignal)
  }
}
