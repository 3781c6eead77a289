import { budgetAccounts, organisationAccounts } from './accounts.ts'
import type { BudgetLevel, Reserve } from './commands.ts'
import type { Movement } from './entries.ts'
import { BudgetExceededError, InsufficientFundsError, ReservationExistsError } from './errors.ts'
import { type Money, money } from './money.ts'
import { type Posting, posting } from './postings.ts'
import type { LedgerView } from './view.ts'

/**
 * @throws BudgetExceededError for the first budget that leaves less than the price
 * @throws InsufficientFundsError if the organisation has less
 * @throws ReservationExistsError if the id is taken
 */
export function decideReserve(view: LedgerView, command: Reserve): Movement {
  const { reservation: id, organisation, budgets, price, expiresAtMs } = command
  if (view.reservation(id)) throw new ReservationExistsError(id)
  const postings = [
    ...budgets.flatMap((level) => holdAllowance(view, level, price)),
    ...holdMoney(view, organisation, price),
  ]
  const periods = budgets.map(({ budget, period }) => ({ budget, period }))
  return {
    postings,
    reservation: { id, organisation, budgets: periods, price, expiresAtMs, closing: null },
  }
}

/**
 * Besides holding, brings the allotment of the period up to the limit that holds now; a new period starts so. A free
 * request is never refused.
 */
function holdAllowance(view: LedgerView, level: BudgetLevel, price: Money): readonly Posting[] {
  const accounts = budgetAccounts(level, price.currency)
  const spent = view.balance(accounts.spent)
  const held = view.balance(accounts.held)
  // Without a limit the allotment is what was used.
  const limit = level.limit?.micros ?? spent + held + price.micros
  const left = limit - spent - held - price.micros
  if (left < 0n && price.micros > 0n) {
    const of = price.currency
    throw new BudgetExceededError(level, price, money(limit, of), money(spent, of), money(held, of))
  }
  const allowance = left < 0n ? 0n : left
  const change = allowance - view.balance(accounts.allowance)
  return [
    posting(accounts.limit, -change - price.micros),
    posting(accounts.allowance, change),
    posting(accounts.held, price.micros),
  ]
}

function holdMoney(
  view: LedgerView,
  organisation: Reserve['organisation'],
  price: Money,
): readonly Posting[] {
  const { available, held } = organisationAccounts(organisation, price.currency)
  const balance = view.balance(available)
  if (balance < price.micros) {
    const of = price.currency
    throw new InsufficientFundsError(available, price, money(balance, of), money(view.balance(held), of))
  }
  return [posting(available, -price.micros), posting(held, price.micros)]
}
