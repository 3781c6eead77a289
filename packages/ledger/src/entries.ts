import type { LedgerCommand } from './commands.ts'
import type { Posting } from './postings.ts'
import type { Reservation } from './reservations.ts'

/** A decision as it is kept for ever: what moved and what became of a reservation. */
export interface Entry {
  readonly key: string
  readonly kind: LedgerCommand['kind']
  /** What was asked, compared when the key comes again. */
  readonly content: string
  /** Add up to zero in every book; one for each account that changes, in the order of account ids. */
  readonly postings: readonly Posting[]
  /** As it stands after the entry; `null` if the entry is about none. */
  readonly reservation: Reservation | null
}

/** What a decision is before it gets its key. */
export interface Movement {
  readonly postings: readonly Posting[]
  readonly reservation: Reservation | null
}
