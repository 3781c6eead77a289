import { budgetAccounts, organisationAccounts } from './accounts.ts'
import type { Expire, Release, Settle, Share } from './commands.ts'
import type { Movement } from './entries.ts'
import {
  ChargeExceedsReservationError,
  ReservationClosedError,
  ReservationNotExpiredError,
  ReservationNotFoundError,
} from './errors.ts'
import { type Micros, micros, money } from './money.ts'
import { type Posting, posting } from './postings.ts'
import type { Closing, Reservation, ReservationId } from './reservations.ts'
import { splitAmount } from './split.ts'
import { checkCurrency } from './validate.ts'
import type { LedgerView } from './view.ts'

/**
 * @throws ReservationNotFoundError, ReservationClosedError
 * @throws ChargeExceedsReservationError if more is charged than was reserved and `overrun` says so
 */
export function decideSettle(
  view: LedgerView,
  { reservation: id, charge, shares, overrun }: Settle,
): Movement {
  const reservation = openReservation(view, id)
  const { price } = reservation
  checkCurrency('charge', charge, price)
  if (charge.micros > price.micros && overrun === 'refuse') {
    throw new ChargeExceedsReservationError(id, charge, price)
  }
  const charged = charge.micros < price.micros ? charge.micros : price.micros
  const closing: Closing = {
    outcome: 'settled',
    chargedMicros: charged,
    forgoneMicros: micros(charge.micros - charged),
  }
  return close(reservation, closing, payShares(charged, shares))
}

/** @throws ReservationNotFoundError, ReservationClosedError */
export function decideRelease(view: LedgerView, { reservation: id }: Release): Movement {
  return close(openReservation(view, id), uncharged('released'), [])
}

/**
 * @throws ReservationNotFoundError, ReservationClosedError
 * @throws ReservationNotExpiredError if its time is not over
 */
export function decideExpire(view: LedgerView, { reservation: id, nowMs }: Expire): Movement {
  const reservation = openReservation(view, id)
  const remainingMs = reservation.expiresAtMs - nowMs
  if (remainingMs > 0) throw new ReservationNotExpiredError(id, remainingMs)
  return close(reservation, uncharged('expired'), [])
}

const uncharged = (outcome: Closing['outcome']): Closing => ({
  outcome,
  chargedMicros: micros(0n),
  forgoneMicros: micros(0n),
})

function openReservation(view: LedgerView, id: ReservationId): Reservation {
  const reservation = view.reservation(id)
  if (!reservation) throw new ReservationNotFoundError(id)
  const { closing, price } = reservation
  if (!closing) return reservation
  throw new ReservationClosedError(id, closing, money(closing.chargedMicros, price.currency))
}

function payShares(charged: Micros, shares: readonly Share[]): readonly Posting[] {
  const parts = splitAmount(
    charged,
    shares.map(({ weight }) => weight),
  )
  return shares.map(({ account }, index) => posting(account, parts[index]!))
}

function close(reservation: Reservation, closing: Closing, payments: readonly Posting[]): Movement {
  const { organisation, budgets, price } = reservation
  const charged = closing.chargedMicros
  const returned = price.micros - charged
  const { available, held } = organisationAccounts(organisation, price.currency)
  const counted = budgets.flatMap((level) => {
    const accounts = budgetAccounts(level, price.currency)
    return [
      posting(accounts.held, -price.micros),
      posting(accounts.spent, charged),
      posting(accounts.allowance, returned),
    ]
  })
  return {
    postings: [posting(held, -price.micros), posting(available, returned), ...payments, ...counted],
    reservation: { ...reservation, closing },
  }
}
