import type { OrganisationId } from '@deos/domain'
import type { Micros, Money } from './money.ts'

declare const brand: unique symbol

export type ReservationId = string & { readonly [brand]: 'reservation' }
export type BudgetId = string & { readonly [brand]: 'budget' }

export const reservationId = (value: string): ReservationId => value as ReservationId
export const budgetId = (value: string): BudgetId => value as BudgetId

/**
 * One stretch of a budget, such as a key's November: `period` is any name, `2026-11` or `always`. A limit starts anew
 * with each period, and what was reserved in one is settled in it.
 */
export interface BudgetPeriod {
  readonly budget: BudgetId
  readonly period: string
}

/** How a reservation ended. */
export interface Closing {
  readonly outcome: 'settled' | 'released' | 'expired'
  readonly chargedMicros: Micros
  /** What a settlement asked beyond the reservation, forgone because of `overrun: 'cap'`. */
  readonly forgoneMicros: Micros
}

/** Money set aside for one request, at every level of its chain. */
export interface Reservation {
  readonly id: ReservationId
  readonly organisation: OrganisationId
  readonly budgets: readonly BudgetPeriod[]
  readonly price: Money
  /** On the clock of whoever reserved, milliseconds since 1970. */
  readonly expiresAtMs: number
  /** `null` while it is open. */
  readonly closing: Closing | null
}

/** Open ones whose time is over, first to expire first: each may be given to an `expire` command. */
export const overdueReservations = (
  reservations: Iterable<Reservation>,
  nowMs: number,
): readonly Reservation[] =>
  [...reservations]
    .filter((reservation) => reservation.closing === null && reservation.expiresAtMs <= nowMs)
    .sort((a, b) => a.expiresAtMs - b.expiresAtMs || (a.id < b.id ? -1 : 1))
