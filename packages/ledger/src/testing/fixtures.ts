import { organisationId } from '@deos/domain'
import { payableAccount, revenueAccount } from '../accounts.ts'
import type { BudgetLevel, LedgerCommand, Reserve, Settle } from '../commands.ts'
import type { Ledger } from '../ledger.ts'
import { currency, type Money, parseMoney } from '../money.ts'
import { budgetId, reservationId } from '../reservations.ts'

export const usd = currency('USD')
export const dollars = (text: string): Money => parseMoney(`${text} USD`)
export const acme = organisationId('org_acme')
export const supplier = organisationId('org_supplier')
export const platform = revenueAccount('platform', usd)
export const earnings = payableAccount(supplier, usd)

export const level = (budget: string, limit: string | null, period = '2026-11'): BudgetLevel => ({
  budget: budgetId(budget),
  period,
  limit: limit === null ? null : dollars(limit),
})

export const reserve = (id: string, price: string, rest: Partial<Reserve> = {}): Reserve => ({
  kind: 'reserve',
  key: `reserve ${id}`,
  reservation: reservationId(id),
  organisation: acme,
  budgets: [],
  price: dollars(price),
  expiresAtMs: 1_000,
  ...rest,
})

export const settle = (id: string, charge: string, rest: Partial<Settle> = {}): Settle => ({
  kind: 'settle',
  key: `settle ${id}`,
  reservation: reservationId(id),
  charge: dollars(charge),
  shares: [{ account: platform, weight: 1 }],
  overrun: 'refuse',
  ...rest,
})

export const release = (id: string): LedgerCommand => ({
  kind: 'release',
  key: `release ${id}`,
  reservation: reservationId(id),
})

export const expire = (id: string, nowMs: number): LedgerCommand => ({
  kind: 'expire',
  key: `expire ${id}`,
  reservation: reservationId(id),
  nowMs,
})

export const balanceOf = (ledger: Ledger, account: Parameters<Ledger['view']['balance']>[0]): string =>
  `${ledger.view.balance(account)}`
