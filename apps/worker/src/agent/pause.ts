import type { Random } from '@deos/domain'

/** Resolves after a time, or at once when the signal aborts. */
export function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, delayMs)
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
}

/** How long to wait after each failure in a row: longer every time, and not at the same moment on all machines. */
export class Backoff {
  #failures = 0

  constructor(
    private readonly firstMs: number,
    private readonly longestMs: number,
    private readonly random: Random,
  ) {}

  failed(): number {
    const ceilingMs = Math.min(this.longestMs, this.firstMs * 2 ** Math.min(30, this.#failures))
    this.#failures += 1
    return Math.round(ceilingMs * (0.5 + this.random.next() / 2))
  }

  succeeded(): void {
    this.#failures = 0
  }
}

/** A wait that somebody may cut short; a call that comes while nobody waits is remembered. */
export class Alarm {
  #rung = false
  #wake: () => void = () => undefined

  ring(): void {
    this.#rung = true
    this.#wake()
  }

  async wait(longestMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung) {
      const woken = new AbortController()
      this.#wake = () => woken.abort()
      await pause(longestMs, AbortSignal.any([signal, woken.signal]))
      this.#wake = () => undefined
    }
    this.#rung = false
  }
}
