import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LedgerInputError } from './input-errors.ts'
import { Ledger } from './ledger.ts'
import { type LedgerSnapshot, restoreState, snapshotOf } from './snapshot.ts'
import { acme, dollars, level, release, reserve, settle } from './testing/fixtures.ts'
import { deposit } from './transfers.ts'

function sample(): Ledger {
  const ledger = new Ledger()
  ledger.execute(deposit('d', acme, dollars('10'), 'stripe'))
  ledger.execute(reserve('open', '2', { budgets: [level('key_1', '5')] }))
  ledger.execute(reserve('done', '3'))
  ledger.execute(settle('done', '4', { overrun: 'cap' }))
  return ledger
}

test('a ledger goes on from its snapshot as if nothing had happened', () => {
  const ledger = sample()
  const restored = new Ledger(restoreState(JSON.parse(JSON.stringify(snapshotOf(ledger.state)))))
  expect(restored.state).toEqual(ledger.state)
  expect(restored.execute(settle('done', '4', { overrun: 'cap' })).outcome).toBe('duplicate')
  expect(restored.execute(release('open'))).toEqual(ledger.execute(release('open')))
  expect(snapshotOf(restored.state)).toEqual(snapshotOf(ledger.state))
})

test('a restored ledger keeps to itself', () => {
  const state = restoreState(snapshotOf(sample().state))
  const before = snapshotOf(state)
  new Ledger(state).execute(release('open'))
  expect(snapshotOf(state)).toEqual(before)
})

const valid = snapshotOf(sample().state)
const first = valid.reservations[0]!
const withReservation = (change: object): object => ({
  ...valid,
  reservations: [{ ...first, ...change }, ...valid.reservations.slice(1)],
})

test.each<[string, unknown]>([
  ['nothing', null],
  ['a list', []],
  ['another version', { ...valid, version: 2 }],
  ['balances of another shape', { ...valid, balances: {} }],
  ['an unknown account', { ...valid, balances: [...valid.balances, ['wallet/USD/x', '0']] }],
  ['a float', { ...valid, balances: [['external/USD/x', '0.5']] }],
  ['a number for a text', { ...valid, balances: [['external/USD/x', 0]] }],
  ['a triple', { ...valid, contents: [['a', 'b', 'c']] }],
  ['a reservation without an id', withReservation({ id: undefined })],
  ['a period with a slash', withReservation({ budgets: [{ budget: 'b', period: '2026/11' }] })],
  ['an expiry that is no number', withReservation({ expiresAtMs: '1' })],
  [
    'an unknown outcome',
    withReservation({ closing: { outcome: 'lost', chargedMicros: '0', forgoneMicros: '0' } }),
  ],
  ['no closing', withReservation({ closing: undefined })],
  ['a currency in small letters', withReservation({ currency: 'usd' })],
  ['money from nowhere', { ...valid, balances: [...valid.balances, ['external/USD/x', '1']] }],
  ['a lost reservation', { ...valid, reservations: [] }],
])('a snapshot with %s is refused', (_, snapshot) => {
  expect(() => restoreState(snapshot)).toThrow(LedgerInputError)
})

test('whatever is not a snapshot is refused in words', () => {
  const fields = fc.record(
    {
      version: fc.constant(1),
      balances: fc.anything(),
      reservations: fc.anything(),
      contents: fc.anything(),
    },
    { requiredKeys: ['version'] },
  )
  fc.assert(
    fc.property(fc.oneof(fc.anything(), fields), (value) => {
      let snapshot: LedgerSnapshot
      try {
        snapshot = snapshotOf(restoreState(value))
      } catch (error) {
        expect(error).toBeInstanceOf(LedgerInputError)
        return
      }
      expect(snapshot.balances).toEqual([])
      expect(snapshot.reservations).toEqual([])
    }),
  )
})
