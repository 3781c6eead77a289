import { type Clock, type Milliseconds, ms } from '@deos/domain'

/** Time as an edge needs it: production passes {@link systemTimers}, a simulation its own. */
export interface Timers extends Clock {
  /** Runs once after the delay; the returned function prevents that. */
  after(delayMs: number, run: () => void): () => void
}

/** The machine's monotonic clock and timers. */
export const systemTimers: Timers = {
  now: (): Milliseconds => ms(performance.now()),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs)
    return () => clearTimeout(timer)
  },
}

/** Runs every `intervalMs` until the returned function is called. */
export function every(timers: Timers, intervalMs: number, run: () => void): () => void {
  let cancel = timers.after(intervalMs, again)
  let stopped = false
  function again(): void {
    run()
    if (!stopped) cancel = timers.after(intervalMs, again)
  }
  return () => {
    stopped = true
    cancel()
  }
}
