import { organisationId } from '@deos/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bookOf, budgetAccounts, externalAccount, organisationAccounts, parseAccount } from './accounts.ts'
import { LedgerInputError } from './input-errors.ts'
import { currency } from './money.ts'
import { budgetId } from './reservations.ts'

const usd = currency('USD')
const name = fc.stringMatching(/^[\w.:@-]{1,128}$/)

test('an id tells its kind, currency, owner and period', () => {
  fc.assert(
    fc.property(name, name, (owner, period) => {
      const accounts = organisationAccounts(organisationId(owner), usd)
      expect(parseAccount(accounts.held)).toEqual({ kind: 'held', currency: usd, owner, period: null })
      const budget = budgetAccounts({ budget: budgetId(owner), period }, usd)
      expect(parseAccount(budget.spent)).toEqual({ kind: 'allowance-spent', currency: usd, owner, period })
    }),
  )
})

test.each(['', 'a/b', 'a b', 'ä', 'x'.repeat(129)])('owner %j is refused', (owner) => {
  expect(() => externalAccount(owner, usd)).toThrow(LedgerInputError)
  expect(() => budgetAccounts({ budget: budgetId('b'), period: owner }, usd)).toThrow(/period/)
})

test.each([
  'available',
  'available/USD',
  'available/usd/o',
  'available/USD/o/2026',
  'allowance/USD/o',
  'allowance/USD/o/2026/11',
  'toString/USD/o',
  'wallet/USD/o',
  'held/USD/',
])('%j is no account', (id) => {
  expect(() => parseAccount(id)).toThrow(LedgerInputError)
})

test('all real money of a currency is one book, each period of a budget another', () => {
  const [stripe, euros] = [externalAccount('stripe', usd), externalAccount('stripe', currency('EUR'))]
  const november = budgetAccounts({ budget: budgetId('key_1'), period: '2026-11' }, usd)
  const december = budgetAccounts({ budget: budgetId('key_1'), period: '2026-12' }, usd)
  const books = [stripe, organisationAccounts(organisationId('o'), usd).available, euros, november.limit].map(
    (account) => bookOf(parseAccount(account)),
  )
  expect(books[0]).toBe(books[1])
  expect(new Set(books).size).toBe(3)
  expect(bookOf(parseAccount(november.held))).toBe(books[3])
  expect(bookOf(parseAccount(december.held))).not.toBe(books[3])
})
