import { expect, test } from 'vitest'
import { organisationAccounts } from './accounts.ts'
import type { LedgerCommand } from './commands.ts'
import {
  ChargeExceedsReservationError,
  ReservationClosedError,
  ReservationNotExpiredError,
  ReservationNotFoundError,
} from './errors.ts'
import { AmountInvalidError } from './input-errors.ts'
import { findViolations } from './invariants.ts'
import { Ledger } from './ledger.ts'
import { overdueReservations, reservationId } from './reservations.ts'
import { budgetStatement } from './statements.ts'
import {
  acme,
  balanceOf,
  dollars,
  earnings,
  expire,
  level,
  platform,
  release,
  reserve,
  settle,
  usd,
} from './testing/fixtures.ts'
import { deposit } from './transfers.ts'

const accounts = organisationAccounts(acme, usd)
const key = level('key_1', '10')

/** 100 paid in, 4 of it reserved until 1,000 ms. */
function reserved(): Ledger {
  const ledger = new Ledger()
  ledger.execute(deposit('d', acme, dollars('100'), 'stripe'))
  ledger.execute(reserve('r', '4', { budgets: [key] }))
  return ledger
}

test('a settlement charges what was used, gives back the rest and pays the shares', () => {
  const ledger = reserved()
  const shares = [
    { account: earnings, weight: 80 },
    { account: platform, weight: 20 },
  ]
  ledger.execute(settle('r', '2.500001', { shares }))
  expect(balanceOf(ledger, accounts.available)).toBe('97499999')
  expect(balanceOf(ledger, accounts.held)).toBe('0')
  expect(balanceOf(ledger, earnings)).toBe('2000001')
  expect(balanceOf(ledger, platform)).toBe('500000')
  expect(budgetStatement(ledger.view, key, usd, key.limit)).toEqual({
    spent: dollars('2.500001'),
    held: dollars('0'),
    remaining: dollars('7.499999'),
  })
  expect(findViolations(ledger.state)).toEqual([])
})

test('shares of the same account come together', () => {
  const ledger = reserved()
  ledger.execute(settle('r', '3', { shares: [1, 1, 1].map((weight) => ({ account: earnings, weight })) }))
  expect(balanceOf(ledger, earnings)).toBe('3000000')
})

test('more than was reserved is refused, or capped and recorded', () => {
  const ledger = reserved()
  expect(() => ledger.execute(settle('r', '4.25'))).toThrow(ChargeExceedsReservationError)
  expect(balanceOf(ledger, accounts.held)).toBe('4000000')
  ledger.execute(settle('r', '4.25', { overrun: 'cap' }))
  expect(balanceOf(ledger, accounts.available)).toBe('96000000')
  expect(balanceOf(ledger, platform)).toBe('4000000')
  expect(ledger.view.reservation(reservationId('r'))?.closing).toEqual({
    outcome: 'settled',
    chargedMicros: 4_000_000n,
    forgoneMicros: 250_000n,
  })
})

test('a release gives everything back', () => {
  const ledger = reserved()
  ledger.execute(release('r'))
  expect(balanceOf(ledger, accounts.available)).toBe('100000000')
  expect(budgetStatement(ledger.view, key, usd, key.limit).remaining).toEqual(dollars('10'))
  expect(findViolations(ledger.state)).toEqual([])
})

test('a reservation expires at its time and not before', () => {
  const ledger = reserved()
  expect(() => ledger.execute(expire('r', 999))).toThrow(ReservationNotExpiredError)
  ledger.execute(expire('r', 1_000))
  expect(balanceOf(ledger, accounts.available)).toBe('100000000')
  expect(() => ledger.execute(settle('r', '1'))).toThrow(/already expired, 0\.00 USD charged/)
})

test('what is overdue is listed, the oldest first, and can still be settled', () => {
  const ledger = reserved()
  ledger.execute(reserve('late', '1', { expiresAtMs: 2_000 }))
  ledger.execute(reserve('early', '1', { expiresAtMs: 500 }))
  ledger.execute(reserve('done', '1', { expiresAtMs: 500 }))
  ledger.execute(release('done'))
  const ids = overdueReservations(ledger.state.reservations.values(), 1_000).map(({ id }) => id)
  expect(ids).toEqual(['early', 'r'])
  ledger.execute(settle('early', '1'))
  expect(balanceOf(ledger, platform)).toBe('1000000')
})

const endings: readonly (readonly [string, LedgerCommand])[] = [
  ['settled', settle('r', '1', { key: 'other settle' })],
  ['released', { ...release('r'), key: 'other release' }],
  ['expired', { ...expire('r', 5_000), key: 'other expire' }],
]

test.each(endings.flatMap(([first, a]) => endings.map(([, b]) => [first, a, b] as const)))(
  'a reservation that was %s ends no second time',
  (outcome, first, second) => {
    const ledger = reserved()
    ledger.execute({ ...first, key: 'the first' })
    const entries = ledger.entries.length
    expect(() => ledger.execute(second)).toThrow(ReservationClosedError)
    expect(() => ledger.execute(second)).toThrow(new RegExp(`already ${outcome}`))
    expect(ledger.entries).toHaveLength(entries)
  },
)

test.each([settle('x', '1'), release('x'), expire('x', 0)])(
  '$kind of an unknown reservation is refused',
  (command) => {
    expect(() => reserved().execute(command)).toThrow(ReservationNotFoundError)
  },
)

test('a charge in another currency is refused', () => {
  const euros = 'EUR' as typeof usd
  const command = settle('r', '1', {
    charge: { ...dollars('1'), currency: euros },
    shares: [{ account: 'revenue/EUR/platform' as typeof platform, weight: 1 }],
  })
  expect(() => reserved().execute(command)).toThrow(AmountInvalidError)
})
