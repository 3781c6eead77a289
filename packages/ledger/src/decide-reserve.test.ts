import { describeError } from '@deos/domain'
import { expect, test } from 'vitest'
import { budgetAccounts, organisationAccounts } from './accounts.ts'
import { BudgetExceededError, InsufficientFundsError, ReservationExistsError } from './errors.ts'
import { findViolations } from './invariants.ts'
import { Ledger } from './ledger.ts'
import { snapshotOf } from './snapshot.ts'
import { budgetStatement } from './statements.ts'
import { acme, balanceOf, dollars, level, release, reserve, settle, usd } from './testing/fixtures.ts'
import { deposit } from './transfers.ts'

const accounts = organisationAccounts(acme, usd)

function funded(amount = '100'): Ledger {
  const ledger = new Ledger()
  ledger.execute(deposit('d', acme, dollars(amount), 'stripe'))
  return ledger
}

function refusalOf(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return error
  }
  throw new Error('It was not refused.')
}

test('every level of the chain holds the price', () => {
  const ledger = funded()
  const chain = [level('key_1', '5'), level('prj_1', '20'), level('team', null)]
  ledger.execute(reserve('r', '2', { budgets: chain }))
  expect(balanceOf(ledger, accounts.available)).toBe('98000000')
  expect(balanceOf(ledger, accounts.held)).toBe('2000000')
  for (const each of chain) {
    expect(budgetStatement(ledger.view, each, usd, each.limit).held).toEqual(dollars('2'))
  }
  expect(budgetStatement(ledger.view, chain[0]!, usd, chain[0]!.limit).remaining).toEqual(dollars('3'))
  expect(budgetStatement(ledger.view, chain[2]!, usd, null).remaining).toBeNull()
  expect(findViolations(ledger.state)).toEqual([])
})

test.each([
  ['the key', [level('key_1', '1.99'), level('prj_1', '20')], BudgetExceededError],
  ['the project', [level('key_1', '5'), level('prj_1', '1.99')], BudgetExceededError],
  ['the organisation', [level('key_1', '500'), level('prj_1', '500')], InsufficientFundsError],
])('when %s has too little, no level holds anything', (_, budgets, refused) => {
  const ledger = funded('1.99')
  const before = snapshotOf(ledger.state)
  expect(() => ledger.execute(reserve('r', '2', { budgets }))).toThrow(refused)
  expect(snapshotOf(ledger.state)).toEqual(before)
  expect(ledger.entries).toHaveLength(1)
})

test('a refusal names the budget, the numbers and the remedy, and whether waiting helps', () => {
  const ledger = funded()
  const budgets = [level('key_1', '10')]
  ledger.execute(reserve('a', '4', { budgets }))
  ledger.execute(settle('a', '3', {}))
  ledger.execute(reserve('b', '5', { budgets }))
  const waits = refusalOf(() => ledger.execute(reserve('c', '7', { budgets })))
  expect(waits).toMatchObject({
    code: 'BUDGET_EXCEEDED',
    retriable: true,
    held: dollars('5'),
    spent: dollars('3'),
  })
  expect(describeError(waits)).toBe(
    'Budget key_1 for 2026-11 is 10.00 USD; 3.00 USD is spent, 5.00 USD is held by what is running, and this needs ' +
      'up to 7.00 USD. Wait until something running has finished, lower max_tokens, or raise the limit.',
  )
  const never = refusalOf(() => ledger.execute(reserve('c', '7.01', { budgets })))
  expect(never).toMatchObject({ retriable: false })
  expect(describeError(never)).toContain('wait for the next period')
})

test('a budget can be used to its last micro-unit, and a balance too', () => {
  const ledger = funded('3')
  ledger.execute(reserve('a', '1', { budgets: [level('key_1', '1')] }))
  expect(() => ledger.execute(reserve('b', '0.000001', { budgets: [level('key_1', '1')] }))).toThrow(
    BudgetExceededError,
  )
  ledger.execute(reserve('c', '2'))
  const refusal = refusalOf(() => ledger.execute(reserve('d', '4')))
  expect(refusal).toMatchObject({ code: 'INSUFFICIENT_FUNDS', retriable: false })
  expect(describeError(refusal)).toContain('Add at least 4.00 USD, or ask for less.')
})

test('a new period starts with the whole limit, and what was reserved in the old one is settled there', () => {
  const ledger = funded()
  const november = level('key_1', '5')
  const december = level('key_1', '5', '2026-12')
  ledger.execute(reserve('a', '5', { budgets: [november] }))
  ledger.execute(reserve('b', '5', { budgets: [december] }))
  ledger.execute(settle('a', '4'))
  expect(budgetStatement(ledger.view, november, usd, november.limit)).toEqual({
    spent: dollars('4'),
    held: dollars('0'),
    remaining: dollars('1'),
  })
  expect(budgetStatement(ledger.view, december, usd, december.limit).remaining).toEqual(dollars('0'))
})

test('a limit that changes holds from the next reservation on', () => {
  const ledger = funded()
  ledger.execute(reserve('a', '5', { budgets: [level('key_1', '5')] }))
  ledger.execute(reserve('b', '3', { budgets: [level('key_1', '8')] }))
  expect(() => ledger.execute(reserve('c', '1', { budgets: [level('key_1', '6')] }))).toThrow(
    BudgetExceededError,
  )
  ledger.execute(reserve('d', '40', { budgets: [level('key_1', null)] }))
  ledger.execute(release('d'))
  expect(() => ledger.execute(reserve('e', '1.01', { budgets: [level('key_1', '9')] }))).toThrow(
    BudgetExceededError,
  )
  ledger.execute(reserve('f', '1', { budgets: [level('key_1', '9')] }))
  const { limit, allowance } = budgetAccounts(level('key_1', null), usd)
  expect(balanceOf(ledger, limit)).toBe('-9000000')
  expect(balanceOf(ledger, allowance)).toBe('0')
  expect(findViolations(ledger.state)).toEqual([])
})

test('a free request is never refused, not even beyond a lowered limit', () => {
  const ledger = funded()
  ledger.execute(reserve('a', '5', { budgets: [level('key_1', '5')] }))
  ledger.execute(reserve('b', '0', { budgets: [level('key_1', '1')] }))
  ledger.execute(settle('b', '0'))
  expect(findViolations(ledger.state)).toEqual([])
})

test('an id is reserved under once', () => {
  const ledger = funded()
  ledger.execute(reserve('a', '5'))
  expect(() => ledger.execute(reserve('a', '5', { key: 'another' }))).toThrow(ReservationExistsError)
})

test('money of one currency pays for nothing in another', () => {
  const ledger = funded()
  const euros = { ...dollars('1'), currency: 'EUR' as typeof usd }
  expect(() => ledger.execute(reserve('a', '1', { price: euros }))).toThrow(InsufficientFundsError)
})
