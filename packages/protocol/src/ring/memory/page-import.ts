import type { SessionKey } from '../../messages.ts'
import type { Holding } from './kv-memory.ts'
import type { TokenSequence } from './token-sequence.ts'

/** Pages that are filled from outside instead of by computing. */
export interface PageImport {
  readonly key: SessionKey
  readonly tokens: TokenSequence
  readonly holding: Holding
  /** Positions `[first, end)` are to come; those before were cached. Both are multiples of the page size. */
  readonly first: number
  readonly end: number
  /** Positions below are stored and in the cache; the pages stay until better copies are there. `null` before that. */
  kept: number | null
}
