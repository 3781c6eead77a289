import { type AccountId, bookOf, parseAccount } from './accounts.ts'
import { type Micros, micros } from './money.ts'

/** One side of a movement. Positive adds to the account, negative takes from it. */
export interface Posting {
  readonly account: AccountId
  readonly micros: Micros
}

export const posting = (account: AccountId, value: bigint): Posting => ({ account, micros: micros(value) })

/** One posting for each account that changes, in the order of account ids. */
export function netPostings(postings: readonly Posting[]): readonly Posting[] {
  const sums = new Map<AccountId, bigint>()
  for (const { account, micros: value } of postings) sums.set(account, (sums.get(account) ?? 0n) + value)
  return [...sums]
    .filter(([, sum]) => sum !== 0n)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([account, sum]) => posting(account, sum))
}

/** What each book is off by, books that balance left out. */
export function imbalances(postings: Iterable<Posting>): ReadonlyMap<string, Micros> {
  const sums = new Map<string, Micros>()
  for (const { account, micros: value } of postings) {
    const book = bookOf(parseAccount(account))
    sums.set(book, micros((sums.get(book) ?? 0n) + value))
  }
  for (const [book, sum] of sums) if (sum === 0n) sums.delete(book)
  return sums
}
