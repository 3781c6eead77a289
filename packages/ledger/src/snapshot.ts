import { organisationId } from '@deos/domain'
import { type AccountId, parseAccount } from './accounts.ts'
import { LedgerInputError } from './input-errors.ts'
import { findViolations } from './invariants.ts'
import { currency, type Micros, micros, money } from './money.ts'
import { checkedName } from './names.ts'
import {
  budgetId,
  type Closing,
  type Reservation,
  type ReservationId,
  reservationId,
} from './reservations.ts'
import type { LedgerState } from './state.ts'

/** A reservation as plain JSON; amounts are decimal texts of micro-units. */
export interface ReservationSnapshot {
  readonly id: string
  readonly organisation: string
  readonly budgets: readonly { readonly budget: string; readonly period: string }[]
  readonly currency: string
  readonly priceMicros: string
  readonly expiresAtMs: number
  readonly closing: {
    readonly outcome: Closing['outcome']
    readonly chargedMicros: string
    readonly forgoneMicros: string
  } | null
}

/** A state as plain JSON, sorted, so that equal states give equal snapshots. */
export interface LedgerSnapshot {
  readonly version: 1
  readonly balances: readonly (readonly [account: string, micros: string])[]
  readonly reservations: readonly ReservationSnapshot[]
  readonly contents: readonly (readonly [key: string, content: string])[]
}

export const snapshotOf = ({ balances, reservations, contents }: LedgerState): LedgerSnapshot => ({
  version: 1,
  balances: [...balances].sort(byKey).map(([account, balance]) => [account, `${balance}`]),
  reservations: [...reservations].sort(byKey).map(([, reservation]) => writeReservation(reservation)),
  contents: [...contents].sort(byKey),
})

/**
 * The state a snapshot was taken of.
 *
 * @param snapshot - parsed JSON, looked at before it is believed
 * @throws LedgerInputError if it is no snapshot, or of a ledger that does not add up
 */
export function restoreState(snapshot: unknown): LedgerState {
  const { version, balances, reservations, contents } = record('snapshot', snapshot)
  if (version !== 1)
    throw new LedgerInputError('version', version, 'This release reads snapshots of version 1.')
  const state: LedgerState = {
    balances: new Map(list('balances', balances).map(readBalance)),
    reservations: new Map(list('reservations', reservations).map(readReservation)),
    contents: new Map(list('contents', contents).map((pair) => textPair('contents', pair))),
  }
  const [first] = findViolations(state)
  if (!first) return state
  const { rule, subject, expectedMicros, actualMicros } = first
  throw new LedgerInputError(
    subject,
    actualMicros,
    `Rule "${rule}" expects ${expectedMicros} micro-units: take an older snapshot and replay the entries after it.`,
  )
}

const byKey = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
  a < b ? -1 : a > b ? 1 : 0

function writeReservation({
  id,
  organisation,
  budgets,
  price,
  expiresAtMs,
  closing,
}: Reservation): ReservationSnapshot {
  return {
    id,
    organisation,
    budgets: budgets.map(({ budget, period }) => ({ budget, period })),
    currency: price.currency,
    priceMicros: `${price.micros}`,
    expiresAtMs,
    closing: closing && {
      outcome: closing.outcome,
      chargedMicros: `${closing.chargedMicros}`,
      forgoneMicros: `${closing.forgoneMicros}`,
    },
  }
}

function readBalance(value: unknown): [AccountId, Micros] {
  const [account, balance] = textPair('balances', value)
  parseAccount(account)
  return [account as AccountId, amount('balances', balance)]
}

function readReservation(value: unknown): [ReservationId, Reservation] {
  const fields = record('reservations', value)
  const id = reservationId(name('id', fields.id))
  const budgets = list('budgets', fields.budgets).map((budget) => {
    const { budget: budgetName, period } = record('budgets', budget)
    return { budget: budgetId(name('budget', budgetName)), period: name('period', period) }
  })
  const expiresAtMs = fields.expiresAtMs
  if (typeof expiresAtMs !== 'number' || !Number.isSafeInteger(expiresAtMs)) {
    throw wrong('expiresAtMs', expiresAtMs, 'whole milliseconds')
  }
  const price = money(amount('priceMicros', fields.priceMicros), currency(text('currency', fields.currency)))
  const organisation = organisationId(name('organisation', fields.organisation))
  return [id, { id, organisation, budgets, price, expiresAtMs, closing: readClosing(fields.closing) }]
}

function readClosing(value: unknown): Closing | null {
  if (value === null) return null
  const { outcome, chargedMicros, forgoneMicros } = record('closing', value)
  if (outcome !== 'settled' && outcome !== 'released' && outcome !== 'expired') {
    throw wrong('outcome', outcome, 'settled, released or expired')
  }
  return {
    outcome,
    chargedMicros: amount('chargedMicros', chargedMicros),
    forgoneMicros: amount('forgoneMicros', forgoneMicros),
  }
}

function record(field: string, value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw wrong(field, value, 'an object')
}

function list(field: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw wrong(field, value, 'a list')
}

function text(field: string, value: unknown): string {
  if (typeof value === 'string') return value
  throw wrong(field, value, 'a text')
}

const name = (field: string, value: unknown): string => checkedName(field, text(field, value))

function textPair(field: string, value: unknown): [string, string] {
  const [first, second, ...rest] = list(field, value)
  if (typeof first === 'string' && typeof second === 'string' && rest.length === 0) return [first, second]
  throw wrong(field, value, 'pairs of texts')
}

function amount(field: string, value: unknown): Micros {
  if (typeof value === 'string' && /^-?\d{1,40}$/.test(value)) return micros(BigInt(value))
  throw wrong(field, value, 'a whole number of micro-units as text')
}

const wrong = (field: string, value: unknown, expected: string): LedgerInputError =>
  new LedgerInputError(field, value, `A snapshot has ${expected} there; take an older one.`)
