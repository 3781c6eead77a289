import type { OrganisationId } from '@deos/domain'
import { budgetAccounts, organisationAccounts } from './accounts.ts'
import { type Currency, type Money, money } from './money.ts'
import type { BudgetPeriod } from './reservations.ts'
import type { LedgerView } from './view.ts'

/** How an organisation stands. */
export interface OrganisationStatement {
  /** Can be reserved now, credit included. */
  readonly available: Money
  readonly held: Money
  readonly creditLimit: Money
  /** Part of the credit that is neither available nor covered by what is held. */
  readonly owed: Money
}

export function organisationStatement(
  view: LedgerView,
  organisation: OrganisationId,
  currency: Currency,
): OrganisationStatement {
  const accounts = organisationAccounts(organisation, currency)
  const available = view.balance(accounts.available)
  const held = view.balance(accounts.held)
  const creditLimit = -view.balance(accounts.credit)
  const owed = creditLimit - available - held
  return {
    available: money(available, currency),
    held: money(held, currency),
    creditLimit: money(creditLimit, currency),
    owed: money(owed > 0n ? owed : 0n, currency),
  }
}

/** How a budget stands in a period. */
export interface BudgetStatement {
  readonly spent: Money
  readonly held: Money
  /** Can be reserved now, the organisation's balance aside; `null` without a limit. */
  readonly remaining: Money | null
}

/** @param limit - the one that holds now; the ledger learns of a new one with the next reservation only */
export function budgetStatement(
  view: LedgerView,
  period: BudgetPeriod,
  currency: Currency,
  limit: Money | null,
): BudgetStatement {
  const accounts = budgetAccounts(period, currency)
  const spent = view.balance(accounts.spent)
  const held = view.balance(accounts.held)
  const remaining = limit && limit.micros - spent - held
  return {
    spent: money(spent, currency),
    held: money(held, currency),
    remaining: remaining === null ? null : money(remaining > 0n ? remaining : 0n, currency),
  }
}
