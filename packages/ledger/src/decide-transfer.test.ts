import { describeError } from '@deos/domain'
import { expect, test } from 'vitest'
import { externalAccount, organisationAccounts } from './accounts.ts'
import type { LedgerCommand } from './commands.ts'
import { InsufficientFundsError } from './errors.ts'
import { findViolations } from './invariants.ts'
import { Ledger } from './ledger.ts'
import { posting } from './postings.ts'
import { organisationStatement } from './statements.ts'
import {
  acme,
  balanceOf,
  dollars,
  earnings,
  platform,
  reserve,
  settle,
  supplier,
  usd,
} from './testing/fixtures.ts'
import { deposit, payout, refund } from './transfers.ts'

const accounts = organisationAccounts(acme, usd)
const credit = (key: string, limit: string): LedgerCommand => ({
  kind: 'credit',
  key,
  organisation: acme,
  limit: dollars(limit),
})

test('what comes in is missing outside', () => {
  const ledger = new Ledger()
  ledger.execute(deposit('d', acme, dollars('12.50'), 'stripe'))
  expect(balanceOf(ledger, accounts.available)).toBe('12500000')
  expect(balanceOf(ledger, externalAccount('stripe', usd))).toBe('-12500000')
})

test('a supplier is paid at most what it earned', () => {
  const ledger = new Ledger()
  ledger.execute(deposit('d', acme, dollars('10'), 'stripe'))
  ledger.execute(reserve('r', '4'))
  ledger.execute(settle('r', '4', { shares: [{ account: earnings, weight: 1 }] }))
  expect(() => ledger.execute(payout('p1', supplier, dollars('4.01'), 'bank'))).toThrow(
    InsufficientFundsError,
  )
  ledger.execute(payout('p2', supplier, dollars('4'), 'bank'))
  expect(balanceOf(ledger, earnings)).toBe('0')
  expect(balanceOf(ledger, externalAccount('bank', usd))).toBe('4000000')
})

test('a refund may leave the platform in the red', () => {
  const ledger = new Ledger()
  ledger.execute(refund('r', acme, dollars('2'), 'platform'))
  expect(balanceOf(ledger, platform)).toBe('-2000000')
  expect(findViolations(ledger.state)).toEqual([])
})

test('an organisation cannot take out what is not there, and is told what is held', () => {
  const ledger = new Ledger()
  ledger.execute(deposit('d', acme, dollars('5'), 'stripe'))
  ledger.execute(reserve('r', '3'))
  const back: LedgerCommand = {
    kind: 'transfer',
    key: 'back',
    postings: [posting(accounts.available, -4_000_000n), posting(externalAccount('stripe', usd), 4_000_000n)],
  }
  let refusal: unknown
  try {
    ledger.execute(back)
  } catch (error) {
    refusal = error
  }
  expect(refusal).toMatchObject({ code: 'INSUFFICIENT_FUNDS', retriable: true, account: accounts.available })
  expect(describeError(refusal)).toBe(
    'org_acme has 2.00 USD available and 3.00 USD held by what is running; this needs 4.00 USD. ' +
      'Wait until something running has finished, or add at least 2.00 USD.',
  )
})

test('credit can be spent, and lowered only as far as it is unused', () => {
  const ledger = new Ledger()
  ledger.execute(deposit('d', acme, dollars('1'), 'stripe'))
  ledger.execute(credit('c1', '10'))
  ledger.execute(reserve('r', '7'))
  ledger.execute(settle('r', '6'))
  expect(organisationStatement(ledger.view, acme, usd)).toEqual({
    available: dollars('5'),
    held: dollars('0'),
    creditLimit: dollars('10'),
    owed: dollars('5'),
  })
  expect(() => ledger.execute(credit('c2', '4.99'))).toThrow(/5\.00 USD available; this needs 5\.01 USD/)
  ledger.execute(credit('c3', '5'))
  expect(() => ledger.execute(reserve('r2', '0.000001'))).toThrow(InsufficientFundsError)
  ledger.execute(credit('c4', '5.000001'))
  ledger.execute(reserve('r2', '0.000001'))
  expect(findViolations(ledger.state)).toEqual([])
})
