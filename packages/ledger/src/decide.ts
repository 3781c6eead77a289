import { accountRule, parseAccount } from './accounts.ts'
import type { LedgerCommand } from './commands.ts'
import { commandContent } from './content.ts'
import { decideExpire, decideRelease, decideSettle } from './decide-close.ts'
import { decideReserve } from './decide-reserve.ts'
import { decideCredit, decideTransfer } from './decide-transfer.ts'
import type { Entry, Movement } from './entries.ts'
import { IdempotencyConflictError } from './errors.ts'
import { imbalances, netPostings, type Posting } from './postings.ts'
import type { Reservation } from './reservations.ts'
import { validateCommand } from './validate.ts'
import type { LedgerView } from './view.ts'

export type Decision =
  /** To be applied and kept. */
  | { readonly outcome: 'posted'; readonly entry: Entry }
  /** Done before: nothing changes. The command's reservation is given as it stands now, which may be closed. */
  | { readonly outcome: 'duplicate'; readonly reservation: Reservation | null }

/**
 * What a command does to a ledger. Looks only at {@link touchedAccounts}, the command's reservation and its key, so a
 * store can lock and load these, decide, and write the entry in one transaction.
 *
 * @throws DomainError if the command is refused; nothing is to be changed then
 */
export function decide(view: LedgerView, command: LedgerCommand): Decision {
  validateCommand(command)
  const content = commandContent(command)
  const recorded = view.content(command.key)
  if (recorded !== undefined) {
    if (recorded !== content) throw new IdempotencyConflictError(command.key)
    const reservation = 'reservation' in command ? view.reservation(command.reservation) : undefined
    return { outcome: 'duplicate', reservation: reservation ?? null }
  }
  const { postings, reservation } = movement(view, command)
  const net = netPostings(postings)
  assertSound(view, net)
  return {
    outcome: 'posted',
    entry: { key: command.key, kind: command.kind, content, postings: net, reservation },
  }
}

function movement(view: LedgerView, command: LedgerCommand): Movement {
  switch (command.kind) {
    case 'transfer':
      return decideTransfer(view, command)
    case 'credit':
      return decideCredit(view, command)
    case 'reserve':
      return decideReserve(view, command)
    case 'settle':
      return decideSettle(view, command)
    case 'release':
      return decideRelease(view, command)
    case 'expire':
      return decideExpire(view, command)
  }
}

/** The last line of defence against a bug here, or rows that were changed by hand. */
function assertSound(view: LedgerView, postings: readonly Posting[]): void {
  for (const [book, sum] of imbalances(postings))
    throw new Error(`${book} would be off by ${sum} micro-units.`)
  for (const { account, micros } of postings) {
    if (micros > 0n || !accountRule(parseAccount(account).kind).floored) continue
    const balance = view.balance(account) + micros
    if (balance < 0n) throw new Error(`${account} would fall to ${balance} micro-units.`)
  }
}
