import {
  type AccountId,
  accountRule,
  budgetAccounts,
  organisationAccounts,
  parseAccount,
} from './accounts.ts'
import type { LedgerCommand } from './commands.ts'
import type { Micros } from './money.ts'
import type { Reservation, ReservationId } from './reservations.ts'

/** What a decision looks at. */
export interface LedgerView {
  /** 0 for an account that nothing was posted to. */
  balance(account: AccountId): Micros
  reservation(id: ReservationId): Reservation | undefined
  /** Content recorded under the key of a finished command. */
  content(key: string): string | undefined
}

/** Rows a store has read, and locked, for one command. */
export interface LoadedRows {
  /** Every account of {@link touchedAccounts}; 0 for one that has no row yet. */
  readonly balances: ReadonlyMap<AccountId, Micros>
  /** The one the command names; `null` if there is none. */
  readonly reservation: Reservation | null
  /** Recorded under the command's key; `null` if there is none. */
  readonly content: string | null
}

/** A view of loaded rows. It throws when asked for an account that was not loaded: a bug, never a balance of 0. */
export function viewOfRows({ balances, reservation, content }: LoadedRows): LedgerView {
  return {
    balance(account) {
      const balance = balances.get(account)
      if (balance === undefined) throw new Error(`Account ${account} was not loaded.`)
      return balance
    },
    reservation: (id) => (reservation?.id === id ? reservation : undefined),
    content: () => content ?? undefined,
  }
}

/**
 * Accounts whose balances the command reads or changes, shared ones left out, in the order in which a store should lock
 * their rows so that two commands never wait for each other.
 *
 * @param reservation - the one a settlement, release or expiry names, locked before its accounts
 */
export function touchedAccounts(
  command: LedgerCommand,
  reservation: Reservation | null,
): readonly AccountId[] {
  const touched = new Set(accounts(command, reservation))
  return [...touched].filter((account) => !accountRule(parseAccount(account).kind).shared).sort()
}

function accounts(command: LedgerCommand, reservation: Reservation | null): readonly AccountId[] {
  switch (command.kind) {
    case 'transfer':
      return command.postings.flatMap(({ account }) => withHold(account))
    case 'credit': {
      const { credit, available, held } = organisationAccounts(command.organisation, command.limit.currency)
      return [credit, available, held]
    }
    case 'reserve':
      return chain(command)
    case 'settle':
      return [...(reservation ? chain(reservation) : []), ...command.shares.map(({ account }) => account)]
    case 'release':
    case 'expire':
      return reservation ? chain(reservation) : []
  }
}

/** A refusal says what is held besides what is available. */
function withHold(account: AccountId): readonly AccountId[] {
  const { kind, owner, currency } = parseAccount(account)
  if (kind !== 'available') return [account]
  return [account, organisationAccounts(owner as Reservation['organisation'], currency).held]
}

function chain({
  organisation,
  budgets,
  price,
}: Pick<Reservation, 'organisation' | 'budgets' | 'price'>): readonly AccountId[] {
  const { available, held } = organisationAccounts(organisation, price.currency)
  return [
    available,
    held,
    ...budgets.flatMap((budget) => Object.values<AccountId>({ ...budgetAccounts(budget, price.currency) })),
  ]
}
