import { type Milliseconds, ms } from '@deos/domain'

export interface ReconcilerSettings {
  /** Wait after the first failure of a replica; doubles with each in a row. */
  readonly backoffMs: Milliseconds
  readonly longestBackoffMs: Milliseconds
  /** A replica that was ready so long starts anew with the shortest wait. */
  readonly stableMs: Milliseconds
  /** Without a place, a changed fleet is tried again after this. */
  readonly refusalGapMs: Milliseconds
  /** Without a place, an unchanged fleet is tried again after this; doubles with each in a row. */
  readonly refusalBackoffMs: Milliseconds
  /** A replica of which no stage makes progress for so long has failed. */
  readonly loadStallMs: Milliseconds
  readonly verifyTimeoutMs: Milliseconds
  /** After that what still runs on a draining replica is cut off. */
  readonly drainTimeoutMs: Milliseconds
}

export const defaultReconcilerSettings: ReconcilerSettings = {
  backoffMs: ms(1000),
  longestBackoffMs: ms(300_000),
  stableMs: ms(600_000),
  refusalGapMs: ms(1000),
  refusalBackoffMs: ms(30_000),
  loadStallMs: ms(300_000),
  verifyTimeoutMs: ms(60_000),
  drainTimeoutMs: ms(600_000),
}

/** `first` doubled with each after the first, up to `longest`. */
export const backoff = (first: Milliseconds, longest: Milliseconds, count: number): Milliseconds =>
  ms(Math.min(longest, first * 2 ** Math.min(count - 1, 50)))
