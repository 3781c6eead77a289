import type { Timers } from '@deos/transport'

export interface Watch {
  /** @returns stops telling */
  readonly onChange: (listener: () => void) => () => void
  readonly timers: Timers
  /** Ends it. */
  readonly signal: AbortSignal
  /** Changes within it are told together. */
  readonly gapMs: number
  /** Looks again after so long even if no change was told; `null` does not. */
  readonly idleMs: number | null
}

/**
 * The newest of something, whenever it has changed: what changes several times before anybody looks is told once.
 *
 * @param read - null if there is nothing new
 */
export async function* latest<T>(
  { onChange, timers, signal, gapMs, idleMs }: Watch,
  read: () => Promise<T | null>,
): AsyncGenerator<T> {
  let changed = true
  let wake: () => void = () => undefined
  const unsubscribe = onChange(() => {
    changed = true
    wake()
  })
  const onAbort = () => wake()
  signal.addEventListener('abort', onAbort)
  try {
    while (!signal.aborted) {
      if (!changed) await pause(idleMs)
      if (signal.aborted) return
      changed = false
      const value = await read()
      if (value === null) continue
      yield value
      if (!signal.aborted) await pause(gapMs, true)
    }
  } finally {
    unsubscribe()
    signal.removeEventListener('abort', onAbort)
  }

  /** Until something has changed or the time is over; `whole` waits for the time alone. */
  function pause(durationMs: number | null, whole = false): Promise<void> {
    return new Promise((resolve) => {
      let cancel: () => void = () => undefined
      const done = () => {
        cancel()
        wake = () => undefined
        resolve()
      }
      if (durationMs !== null) cancel = timers.after(durationMs, done)
      wake = whole
        ? () => {
            if (signal.aborted) done()
          }
        : done
    })
  }
}
