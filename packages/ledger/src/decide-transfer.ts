import { type AccountId, accountRule, organisationAccounts, parseAccount } from './accounts.ts'
import type { SetCredit, Transfer } from './commands.ts'
import type { Movement } from './entries.ts'
import { InsufficientFundsError } from './errors.ts'
import { micros, money } from './money.ts'
import { netPostings, posting } from './postings.ts'
import type { Reservation } from './reservations.ts'
import type { LedgerView } from './view.ts'

/** @throws InsufficientFundsError if an account has less than is taken */
export function decideTransfer(view: LedgerView, { postings }: Transfer): Movement {
  const net = netPostings(postings)
  for (const { account, micros: value } of net) if (value < 0n) checkFunds(view, account, -value)
  return { postings: net, reservation: null }
}

/** @throws InsufficientFundsError if more credit is in use than is to be left */
export function decideCredit(view: LedgerView, { organisation, limit }: SetCredit): Movement {
  const { credit, available } = organisationAccounts(organisation, limit.currency)
  const more = limit.micros + view.balance(credit)
  if (more < 0n) checkFunds(view, available, -more)
  return { postings: [posting(credit, -more), posting(available, more)], reservation: null }
}

function checkFunds(view: LedgerView, account: AccountId, needed: bigint): void {
  const { kind, owner, currency } = parseAccount(account)
  if (!accountRule(kind).floored || view.balance(account) >= needed) return
  const held =
    kind === 'available'
      ? view.balance(organisationAccounts(owner as Reservation['organisation'], currency).held)
      : micros(0n)
  throw new InsufficientFundsError(
    account,
    money(needed, currency),
    money(view.balance(account), currency),
    money(held, currency),
  )
}
