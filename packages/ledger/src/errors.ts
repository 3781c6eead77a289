import { DomainError } from '@deos/domain'
import { type AccountId, parseAccount } from './accounts.ts'
import { formatMoney, type Money } from './money.ts'
import type { BudgetPeriod, Closing, ReservationId } from './reservations.ts'

/** An account has less than a step takes from it. */
export class InsufficientFundsError extends DomainError {
  readonly code = 'INSUFFICIENT_FUNDS'
  /** Money held by others may come back. */
  readonly retriable: boolean
  constructor(
    readonly account: AccountId,
    readonly needed: Money,
    readonly available: Money,
    readonly held: Money,
  ) {
    const missing = { ...needed, micros: (needed.micros - available.micros) as Money['micros'] }
    const waits = needed.micros <= available.micros + held.micros
    const running = held.micros > 0n ? ` and ${formatMoney(held)} held by what is running` : ''
    super(
      `${parseAccount(account).owner} has ${formatMoney(available)} available${running}; ` +
        `this needs ${formatMoney(needed)}.`,
      waits
        ? `Wait until something running has finished, or add at least ${formatMoney(missing)}.`
        : `Add at least ${formatMoney(missing)}, or ask for less.`,
    )
    this.retriable = waits
  }
}

/** A key's or a project's limit leaves less than a request may cost. */
export class BudgetExceededError extends DomainError {
  readonly code = 'BUDGET_EXCEEDED'
  /** Money held by others may come back. */
  readonly retriable: boolean
  constructor(
    readonly budget: BudgetPeriod,
    readonly needed: Money,
    readonly limit: Money,
    readonly spent: Money,
    readonly held: Money,
  ) {
    const waits = needed.micros + spent.micros <= limit.micros
    super(
      `Budget ${budget.budget} for ${budget.period} is ${formatMoney(limit)}; ${formatMoney(spent)} is spent, ` +
        `${formatMoney(held)} is held by what is running, and this needs up to ${formatMoney(needed)}.`,
      waits
        ? 'Wait until something running has finished, lower max_tokens, or raise the limit.'
        : 'Lower max_tokens, raise the limit, or wait for the next period.',
    )
    this.retriable = waits
  }
}

/** The key of a finished command came back with something else. */
export class IdempotencyConflictError extends DomainError {
  readonly code = 'IDEMPOTENCY_CONFLICT'
  readonly retriable = false
  constructor(readonly key: string) {
    super(`Key ${key} was used before, with other content.`, 'Repeat the first content, or choose a new key.')
  }
}

export class ReservationExistsError extends DomainError {
  readonly code = 'RESERVATION_EXISTS'
  readonly retriable = false
  constructor(readonly reservation: ReservationId) {
    super(`Reservation ${reservation} was made under another key.`, 'Give each reservation its own id.')
  }
}

export class ReservationNotFoundError extends DomainError {
  readonly code = 'RESERVATION_NOT_FOUND'
  readonly retriable = false
  constructor(readonly reservation: ReservationId) {
    super(`There is no reservation ${reservation}.`, 'Reserve before settling or releasing.')
  }
}

/** A reservation ends once. */
export class ReservationClosedError extends DomainError {
  readonly code = 'RESERVATION_CLOSED'
  readonly retriable = false
  constructor(
    readonly reservation: ReservationId,
    readonly closing: Closing,
    charged: Money,
  ) {
    super(
      `Reservation ${reservation} was already ${closing.outcome}, ${formatMoney(charged)} charged.`,
      closing.outcome === 'expired'
        ? 'To charge what came late, reserve it anew and settle at once; let reservations live longer than requests.'
        : 'Repeat a step with the key of its first try; there is nothing left to do here.',
    )
  }
}

export class ReservationNotExpiredError extends DomainError {
  readonly code = 'RESERVATION_NOT_EXPIRED'
  readonly retriable = true
  constructor(
    readonly reservation: ReservationId,
    readonly remainingMs: number,
  ) {
    super(
      `Reservation ${reservation} lives for another ${remainingMs} ms.`,
      'Wait for its end, or release it if the request has ended.',
    )
  }
}

export class ChargeExceedsReservationError extends DomainError {
  readonly code = 'CHARGE_EXCEEDS_RESERVATION'
  readonly retriable = false
  constructor(
    readonly reservation: ReservationId,
    readonly charge: Money,
    readonly reserved: Money,
  ) {
    super(
      `${formatMoney(charge)} cannot be charged: reservation ${reservation} holds ${formatMoney(reserved)}.`,
      'Settle at most what is held, or settle with `overrun: "cap"` to forgo the rest.',
    )
  }
}
