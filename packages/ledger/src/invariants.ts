import {
  type AccountId,
  accountRule,
  budgetAccounts,
  organisationAccounts,
  parseAccount,
} from './accounts.ts'
import { type Micros, micros } from './money.ts'
import { imbalances, posting } from './postings.ts'
import type { Reservation } from './reservations.ts'
import type { LedgerState } from './state.ts'

/** Something that can only be a bug, or rows changed by hand. */
export interface LedgerViolation {
  readonly rule: 'balanced' | 'floor' | 'held' | 'spent'
  /** An account, or a book of accounts. */
  readonly subject: string
  readonly expectedMicros: Micros
  readonly actualMicros: Micros
}

/**
 * Whatever contradicts what must hold after every entry:
 *
 * - `balanced`: all balances of a book add up to zero
 * - `floor`: no account of money or allowance is below zero
 * - `held`: what an organisation or budget holds is the sum of its open reservations
 * - `spent`: what a budget has spent is the sum of its charges
 *
 * @param state - every account and every reservation, closed ones too
 * @returns empty if all is well
 */
export function findViolations({
  balances,
  reservations,
}: Pick<LedgerState, 'balances' | 'reservations'>): readonly LedgerViolation[] {
  return [
    ...unbalancedBooks(balances),
    ...belowFloor(balances),
    ...mismatches('held', ['held', 'allowance-held'], balances, heldBy(reservations.values())),
    ...mismatches('spent', ['allowance-spent'], balances, spentBy(reservations.values())),
  ]
}

type Balances = LedgerState['balances']

function unbalancedBooks(balances: Balances): readonly LedgerViolation[] {
  const postings = [...balances].map(([account, balance]) => posting(account, balance))
  return [...imbalances(postings)].map(([book, sum]) => violation('balanced', book, 0n, sum))
}

function belowFloor(balances: Balances): readonly LedgerViolation[] {
  return [...balances]
    .filter(([account, balance]) => balance < 0n && accountRule(parseAccount(account).kind).floored)
    .map(([account, balance]) => violation('floor', account, 0n, balance))
}

function mismatches(
  rule: LedgerViolation['rule'],
  kinds: readonly string[],
  balances: Balances,
  expected: ReadonlyMap<AccountId, bigint>,
): readonly LedgerViolation[] {
  const accounts = new Set(expected.keys())
  for (const account of balances.keys()) if (kinds.includes(parseAccount(account).kind)) accounts.add(account)
  return [...accounts]
    .filter((account) => (expected.get(account) ?? 0n) !== (balances.get(account) ?? 0n))
    .map((account) => violation(rule, account, expected.get(account) ?? 0n, balances.get(account) ?? 0n))
}

function heldBy(reservations: Iterable<Reservation>): ReadonlyMap<AccountId, bigint> {
  const sums = new Map<AccountId, bigint>()
  for (const { organisation, budgets, price, closing } of reservations) {
    if (closing) continue
    add(sums, organisationAccounts(organisation, price.currency).held, price.micros)
    for (const budget of budgets) add(sums, budgetAccounts(budget, price.currency).held, price.micros)
  }
  return sums
}

function spentBy(reservations: Iterable<Reservation>): ReadonlyMap<AccountId, bigint> {
  const sums = new Map<AccountId, bigint>()
  for (const { budgets, price, closing } of reservations) {
    if (!closing) continue
    for (const budget of budgets) {
      add(sums, budgetAccounts(budget, price.currency).spent, closing.chargedMicros)
    }
  }
  return sums
}

function add(sums: Map<AccountId, bigint>, account: AccountId, value: bigint): void {
  sums.set(account, (sums.get(account) ?? 0n) + value)
}

const violation = (
  rule: LedgerViolation['rule'],
  subject: string,
  expected: bigint,
  actual: bigint,
): LedgerViolation => ({ rule, subject, expectedMicros: micros(expected), actualMicros: micros(actual) })
