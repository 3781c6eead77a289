import type { AccountId } from './accounts.ts'
import type { Entry } from './entries.ts'
import { type Micros, micros } from './money.ts'
import type { Reservation, ReservationId } from './reservations.ts'
import type { LedgerView } from './view.ts'

/** All that entries have led to. */
export interface LedgerState {
  /** Accounts that something was posted to. */
  readonly balances: ReadonlyMap<AccountId, Micros>
  readonly reservations: ReadonlyMap<ReservationId, Reservation>
  /** What was asked under each key. */
  readonly contents: ReadonlyMap<string, string>
}

export const emptyState: LedgerState = { balances: new Map(), reservations: new Map(), contents: new Map() }

/** A state that is being written to by its one owner. */
export interface LedgerDraft {
  readonly balances: Map<AccountId, Micros>
  readonly reservations: Map<ReservationId, Reservation>
  readonly contents: Map<string, string>
}

export const draftOf = ({ balances, reservations, contents }: LedgerState): LedgerDraft => ({
  balances: new Map(balances),
  reservations: new Map(reservations),
  contents: new Map(contents),
})

/** @throws Error if the entry was written before: a bug */
export function writeEntry(draft: LedgerDraft, { key, content, postings, reservation }: Entry): void {
  if (draft.contents.has(key)) throw new Error(`Entry ${key} was applied before.`)
  draft.contents.set(key, content)
  if (reservation) draft.reservations.set(reservation.id, reservation)
  for (const { account, micros: value } of postings) {
    draft.balances.set(account, micros((draft.balances.get(account) ?? 0n) + value))
  }
}

/** The state after one more entry; the given one stays as it is. */
export const apply = (state: LedgerState, entry: Entry): LedgerState => replay([entry], state)

/** The state after entries in their order, from nothing or from a snapshot. */
export function replay(entries: Iterable<Entry>, from: LedgerState = emptyState): LedgerState {
  const draft = draftOf(from)
  for (const entry of entries) writeEntry(draft, entry)
  return draft
}

export const viewOfState = ({ balances, reservations, contents }: LedgerState): LedgerView => ({
  balance: (account) => balances.get(account) ?? micros(0n),
  reservation: (id) => reservations.get(id),
  content: (key) => contents.get(key),
})
