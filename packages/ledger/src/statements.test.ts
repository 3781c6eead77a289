import { expect, test } from 'vitest'
import { Ledger } from './ledger.ts'
import { budgetStatement, organisationStatement } from './statements.ts'
import { acme, dollars, level, reserve, settle, usd } from './testing/fixtures.ts'
import { deposit } from './transfers.ts'

function lent(limit: string): Ledger {
  const ledger = new Ledger()
  ledger.execute({ kind: 'credit', key: 'c', organisation: acme, limit: dollars(limit) })
  return ledger
}

test('nothing is owed while credit is only held, then what was charged, and nothing after it was paid', () => {
  const ledger = lent('10')
  const owed = () => organisationStatement(ledger.view, acme, usd).owed
  ledger.execute(reserve('r', '4'))
  expect(owed()).toEqual(dollars('0'))
  ledger.execute(settle('r', '3'))
  expect(owed()).toEqual(dollars('3'))
  ledger.execute(deposit('d', acme, dollars('20'), 'bank'))
  expect(organisationStatement(ledger.view, acme, usd)).toEqual({
    available: dollars('27'),
    held: dollars('0'),
    creditLimit: dollars('10'),
    owed: dollars('0'),
  })
})

test('a budget is stated against the limit that holds now, before the ledger has seen it', () => {
  const ledger = lent('10')
  const key = level('key_1', '5')
  ledger.execute(reserve('a', '2', { budgets: [key] }))
  ledger.execute(settle('a', '1'))
  ledger.execute(reserve('b', '3', { budgets: [key] }))
  const remaining = (limit: string | null) =>
    budgetStatement(ledger.view, key, usd, limit === null ? null : dollars(limit)).remaining
  expect(remaining('5')).toEqual(dollars('1'))
  expect(remaining('8')).toEqual(dollars('4'))
  expect(remaining('2')).toEqual(dollars('0'))
  expect(remaining(null)).toBeNull()
})

test('who was never heard of has nothing', () => {
  const { view } = new Ledger()
  expect(organisationStatement(view, acme, usd).available).toEqual(dollars('0'))
  expect(budgetStatement(view, level('key_1', '5'), usd, dollars('5'))).toEqual({
    spent: dollars('0'),
    held: dollars('0'),
    remaining: dollars('5'),
  })
})
