import { expect, test } from 'vitest'
import { budgetAccounts, organisationAccounts } from './accounts.ts'
import { findViolations } from './invariants.ts'
import { Ledger } from './ledger.ts'
import { micros } from './money.ts'
import type { posting } from './postings.ts'
import { reservationId } from './reservations.ts'
import { acme, dollars, level, platform, release, reserve, settle, usd } from './testing/fixtures.ts'
import { deposit } from './transfers.ts'

const { available, held } = organisationAccounts(acme, usd)
const key = level('key_1', '5')
const counted = budgetAccounts(key, usd)

function sound(): Ledger {
  const ledger = new Ledger()
  ledger.execute(deposit('d', acme, dollars('10'), 'stripe'))
  ledger.execute(reserve('open', '2', { budgets: [key] }))
  ledger.execute(reserve('done', '3', { budgets: [key] }))
  ledger.execute(settle('done', '1'))
  return ledger
}

function shifted(...changes: readonly (readonly [Parameters<typeof posting>[0], bigint])[]) {
  const { balances, reservations } = sound().state
  const changed = new Map(balances)
  for (const [account, by] of changes) changed.set(account, micros((changed.get(account) ?? 0n) + by))
  return { balances: changed, reservations }
}

test('a sound ledger has no violations', () => {
  expect(findViolations(sound().state)).toEqual([])
  expect(findViolations(new Ledger().state)).toEqual([])
})

test('money from nowhere', () => {
  expect(findViolations(shifted([available, 1n]))).toEqual([
    { rule: 'balanced', subject: 'money in USD', expectedMicros: 0n, actualMicros: 1n },
  ])
})

test('a budget that lends to real money', () => {
  expect(
    findViolations(shifted([counted.allowance, -1n], [available, 1n])).map(({ subject }) => subject),
  ).toEqual(['money in USD', 'budget key_1 for 2026-11 in USD'])
})

test('an account below zero', () => {
  const taken = shifted([available, -8_000_000n], [platform, 8_000_000n])
  expect(findViolations(taken)).toEqual([
    { rule: 'floor', subject: available, expectedMicros: 0n, actualMicros: -1_000_000n },
  ])
})

test('a hold without a reservation, and a reservation without a hold', () => {
  expect(findViolations(shifted([available, -1n], [held, 1n]))).toEqual([
    { rule: 'held', subject: held, expectedMicros: 2_000_000n, actualMicros: 2_000_001n },
  ])
  const { balances } = sound().state
  const ledger = sound()
  ledger.execute(release('open'))
  const lost = findViolations({ balances, reservations: ledger.state.reservations })
  expect(lost.map(({ rule, subject }) => [rule, subject])).toEqual([
    ['held', counted.held],
    ['held', held],
  ])
})

test('a charge that its budget does not know', () => {
  const { balances, reservations } = sound().state
  const forgotten = new Map(reservations)
  forgotten.delete(reservationId('done'))
  expect(findViolations({ balances, reservations: forgotten })).toEqual([
    { rule: 'spent', subject: counted.spent, expectedMicros: 0n, actualMicros: 1_000_000n },
  ])
})
