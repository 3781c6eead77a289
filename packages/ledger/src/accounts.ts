import type { OrganisationId } from '@deos/domain'
import { LedgerInputError } from './input-errors.ts'
import { type Currency, currency } from './money.ts'
import { checkedName } from './names.ts'
import type { BudgetPeriod } from './reservations.ts'

declare const brand: unique symbol

/** `kind/currency/owner`, for budgets `kind/currency/owner/period`. */
export type AccountId = string & { readonly [brand]: 'account' }

interface AccountRule {
  /** Real money, or the counting of a budget. Every entry balances in each book for itself. */
  readonly book: 'money' | 'budget'
  /** Whether its balance may never be below zero. */
  readonly floored: boolean
  /**
   * Touched by everybody and decided upon by nobody. A store should take its balance as the sum of its postings, for
   * a row of it would be locked by every request.
   */
  readonly shared: boolean
}

/**
 * The chart of accounts. A positive balance is what the account has; all balances of a book add up to zero.
 *
 * - `external`: the world outside by name, `stripe` or `bank`; what came from there is negative
 * - `credit`: what an organisation was lent, negative
 * - `available`: what an organisation can reserve: paid in plus lent, minus held and charged
 * - `held`: what an organisation's open reservations hold
 * - `revenue`: what the platform earned, by name
 * - `payable`: what a supplier earned and was not paid yet
 * - `limit`: what a budget was allotted in a period, negative
 * - `allowance`, `allowance-held`, `allowance-spent`: the allotment left, held and charged
 */
const chart = {
  external: { book: 'money', floored: false, shared: true },
  credit: { book: 'money', floored: false, shared: false },
  available: { book: 'money', floored: true, shared: false },
  held: { book: 'money', floored: true, shared: false },
  revenue: { book: 'money', floored: false, shared: true },
  payable: { book: 'money', floored: true, shared: false },
  limit: { book: 'budget', floored: false, shared: false },
  allowance: { book: 'budget', floored: true, shared: false },
  'allowance-held': { book: 'budget', floored: true, shared: false },
  'allowance-spent': { book: 'budget', floored: true, shared: false },
} as const satisfies Record<string, AccountRule>

export type AccountKind = keyof typeof chart

export interface Account {
  readonly kind: AccountKind
  readonly currency: Currency
  /** An organisation, a supplier, a budget, or the name of an `external` or `revenue` account. */
  readonly owner: string
  /** Of budget accounts; `null` for others. */
  readonly period: string | null
}

export const accountRule = (kind: AccountKind): AccountRule => chart[kind]

/** @throws LedgerInputError if owner or period cannot be part of an id */
function accountId(kind: AccountKind, of: Currency, owner: string, period?: string): AccountId {
  const end = period === undefined ? '' : `/${checkedName('period', period)}`
  return `${kind}/${of}/${checkedName('owner', owner)}${end}` as AccountId
}

/** @throws LedgerInputError if it is no account of the chart */
export function parseAccount(id: string): Account {
  const [kind = '', of = '', owner = '', period, ...rest] = id.split('/')
  const known = Object.hasOwn(chart, kind) ? (kind as AccountKind) : null
  if (known === null || rest.length > 0 || (chart[known].book === 'budget') !== (period !== undefined)) {
    throw new LedgerInputError('account', id, `Name one of: ${Object.keys(chart).join(', ')}.`)
  }
  if (period !== undefined) checkedName('period', period)
  return { kind: known, currency: currency(of), owner: checkedName('owner', owner), period: period ?? null }
}

/** Accounts among which every entry balances: all real money of a currency, or one period of one budget. */
export function bookOf({ kind, currency: of, owner, period }: Account): string {
  return chart[kind].book === 'money' ? `money in ${of}` : `budget ${owner} for ${period} in ${of}`
}

export const externalAccount = (name: string, of: Currency): AccountId => accountId('external', of, name)
export const revenueAccount = (name: string, of: Currency): AccountId => accountId('revenue', of, name)
export const payableAccount = (supplier: OrganisationId, of: Currency): AccountId =>
  accountId('payable', of, supplier)

export interface OrganisationAccounts {
  readonly credit: AccountId
  readonly available: AccountId
  readonly held: AccountId
}

export const organisationAccounts = (organisation: OrganisationId, of: Currency): OrganisationAccounts => ({
  credit: accountId('credit', of, organisation),
  available: accountId('available', of, organisation),
  held: accountId('held', of, organisation),
})

export interface BudgetAccounts {
  readonly limit: AccountId
  readonly allowance: AccountId
  readonly held: AccountId
  readonly spent: AccountId
}

export const budgetAccounts = ({ budget, period }: BudgetPeriod, of: Currency): BudgetAccounts => ({
  limit: accountId('limit', of, budget, period),
  allowance: accountId('allowance', of, budget, period),
  held: accountId('allowance-held', of, budget, period),
  spent: accountId('allowance-spent', of, budget, period),
})
