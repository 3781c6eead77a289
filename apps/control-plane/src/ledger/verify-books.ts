import {
  type AccountId,
  accountRule,
  findViolations,
  imbalances,
  type LedgerViolation,
  type Micros,
  micros,
  parseAccount,
} from '@deos/ledger'
import { asc, gt, inArray } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import {
  ledgerBalances,
  ledgerEntries,
  ledgerPostings,
  ledgerReservations,
} from '../database/schema/index.ts'
import { reservationOf } from './ledger-store.ts'

/** Something that can only be a bug, or rows changed by hand. */
export interface BookViolation extends Omit<LedgerViolation, 'rule'> {
  /** Those of the ledger; `row`: a stored balance is not the sum of its postings. */
  readonly rule: LedgerViolation['rule'] | 'row'
  /** Number of the entry after which it was first so; null if it shows in the end only. */
  readonly entry: number | null
}

export interface BookReport {
  readonly entries: number
  /** Empty if all is well. */
  readonly violations: readonly BookViolation[]
}

const entriesAtOnce = 1000
const mostViolations = 100

/**
 * Goes through all entries from the first: after each one every book must balance and nobody may have less than
 * nothing; in the end, stored balances and reservations must be what the entries come to. Reads everything, so it takes
 * a while on a large ledger, and sees one moment of it.
 */
export function verifyBooks(database: Database): Promise<BookReport> {
  return database.transaction(async (queries) => {
    const balances = new Map<AccountId, Micros>()
    const violations: BookViolation[] = []
    let entries = 0
    let after = 0
    for (;;) {
      const batch = await readBatch(queries, after)
      for (const { sequence, postings } of batch) {
        if (violations.length < mostViolations) violations.push(...afterEntry(sequence, postings, balances))
        else add(balances, postings)
      }
      entries += batch.length
      if (batch.length < entriesAtOnce) break
      after = batch.at(-1)!.sequence
    }
    violations.push(...(await inTheEnd(queries, balances)))
    return { entries, violations: violations.slice(0, mostViolations) }
  }, 'repeatable read')
}

interface Moved {
  readonly account: AccountId
  readonly micros: Micros
}

async function readBatch(
  queries: Queries,
  after: number,
): Promise<readonly { readonly sequence: number; readonly postings: readonly Moved[] }[]> {
  const entries = await queries
    .select({ sequence: ledgerEntries.sequence })
    .from(ledgerEntries)
    .where(gt(ledgerEntries.sequence, after))
    .orderBy(asc(ledgerEntries.sequence))
    .limit(entriesAtOnce)
  const bySequence = new Map(entries.map(({ sequence }) => [sequence, [] as Moved[]]))
  if (entries.length > 0) {
    const rows = await queries
      .select()
      .from(ledgerPostings)
      .where(inArray(ledgerPostings.entry, [...bySequence.keys()]))
    for (const { entry, account, micros: value } of rows) {
      bySequence.get(entry)!.push({ account: account as AccountId, micros: micros(value) })
    }
  }
  return [...bySequence].map(([sequence, postings]) => ({ sequence, postings }))
}

function add(balances: Map<AccountId, Micros>, postings: readonly Moved[]): void {
  for (const { account, micros: value } of postings) {
    balances.set(account, micros((balances.get(account) ?? 0n) + value))
  }
}

/** All books balanced before, so that the entry has to for itself. */
function afterEntry(
  entry: number,
  postings: readonly Moved[],
  balances: Map<AccountId, Micros>,
): readonly BookViolation[] {
  add(balances, postings)
  const unbalanced = [...imbalances(postings)].map(([book, off]) => ({
    rule: 'balanced' as const,
    subject: book,
    expectedMicros: micros(0n),
    actualMicros: off,
    entry,
  }))
  const below = postings
    .filter(({ account }) => accountRule(parseAccount(account).kind).floored && balances.get(account)! < 0n)
    .map(({ account }) => ({
      rule: 'floor' as const,
      subject: account,
      expectedMicros: micros(0n),
      actualMicros: balances.get(account)!,
      entry,
    }))
  return [...unbalanced, ...below]
}

async function inTheEnd(
  queries: Queries,
  balances: ReadonlyMap<AccountId, Micros>,
): Promise<readonly BookViolation[]> {
  const reservations = (await queries.select().from(ledgerReservations)).map(reservationOf)
  const found = findViolations({ balances, reservations: new Map(reservations.map((one) => [one.id, one])) })
  const stored = new Map(
    (await queries.select().from(ledgerBalances)).map((row) => [
      row.account as AccountId,
      micros(row.micros),
    ]),
  )
  const owned = [...balances.keys()].filter((account) => !accountRule(parseAccount(account).kind).shared)
  const rows = [...new Set([...owned, ...stored.keys()])].map((account) => ({
    rule: 'row' as const,
    subject: account,
    expectedMicros: balances.get(account) ?? micros(0n),
    actualMicros: stored.get(account) ?? micros(0n),
  }))
  const wrong = rows.filter(({ expectedMicros, actualMicros }) => expectedMicros !== actualMicros)
  return [...found, ...wrong].map((violation) => ({ ...violation, entry: null }))
}
