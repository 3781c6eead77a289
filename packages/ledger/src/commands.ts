import type { OrganisationId } from '@deos/domain'
import type { AccountId } from './accounts.ts'
import type { Money } from './money.ts'
import type { Posting } from './postings.ts'
import type { BudgetPeriod, ReservationId } from './reservations.ts'

interface Keyed {
  /**
   * Names the command for ever. The same key with the same content again changes nothing; with other content it is
   * refused. One ledger has one space of keys, so put the organisation before a key that a client chose.
   */
  readonly key: string
}

/**
 * Moves money between `external`, `available`, `revenue` and `payable` accounts: payments, payouts, refunds. What is
 * available may be lent: whoever pays it back out looks at the credit first.
 */
export interface Transfer extends Keyed {
  readonly kind: 'transfer'
  /** Add up to zero in every currency. */
  readonly postings: readonly Posting[]
}

/** Sets how much an organisation may owe. It cannot be lowered below what is owed or held already. */
export interface SetCredit extends Keyed {
  readonly kind: 'credit'
  readonly organisation: OrganisationId
  readonly limit: Money
}

/** A budget in a chain, with the limit that holds now; `null` counts without limiting. */
export interface BudgetLevel extends BudgetPeriod {
  readonly limit: Money | null
}

/** Holds the most a request can cost, at every level of its chain or at none. */
export interface Reserve extends Keyed {
  readonly kind: 'reserve'
  readonly reservation: ReservationId
  readonly organisation: OrganisationId
  /**
   * From the narrowest (a key) to the widest. Limits are settings of the moment and no part of the content that a
   * repeated key is compared by.
   */
  readonly budgets: readonly BudgetLevel[]
  readonly price: Money
  readonly expiresAtMs: number
}

/** Who gets part of a charge: a `revenue` or `payable` account. */
export interface Share {
  readonly account: AccountId
  /** Whole number; shares are in proportion to weights. */
  readonly weight: number
}

/**
 * Charges a request and gives back the rest of what was held. A reservation that is overdue but was not expired yet can
 * still be settled, for its money is there.
 */
export interface Settle extends Keyed {
  readonly kind: 'settle'
  readonly reservation: ReservationId
  readonly charge: Money
  readonly shares: readonly Share[]
  /**
   * When the charge is more than was reserved: `refuse` changes nothing, `cap` charges what was reserved and records
   * the rest as forgone. A customer never pays more than was reserved.
   */
  readonly overrun: 'refuse' | 'cap'
}

/** Gives back all that was held: the request failed or was never run. */
export interface Release extends Keyed {
  readonly kind: 'release'
  readonly reservation: ReservationId
}

/** Gives back all that was held because its time is over. */
export interface Expire extends Keyed {
  readonly kind: 'expire'
  readonly reservation: ReservationId
  readonly nowMs: number
}

export type LedgerCommand = Transfer | SetCredit | Reserve | Settle | Release | Expire
