import { organisationId } from '@deos/domain'
import fc from 'fast-check'
import { externalAccount, organisationAccounts, payableAccount, revenueAccount } from '../accounts.ts'
import type { LedgerCommand } from '../commands.ts'
import { currency, money } from '../money.ts'
import { posting } from '../postings.ts'
import { budgetId, reservationId } from '../reservations.ts'
import { deposit, payout, refund } from '../transfers.ts'
import { acme, supplier, usd } from './fixtures.ts'

const other = organisationId('org_other')
const amountUpTo = (max: bigint) =>
  fc
    .tuple(fc.bigInt({ min: 0n, max }), fc.constantFrom(usd, usd, usd, usd, usd, currency('EUR')))
    .map(([micros, of]) => money(micros, of))
const price = amountUpTo(40n)
const paid = amountUpTo(200n).filter(({ micros }) => micros > 0n)
const organisation = fc.constantFrom(acme, other)
const key = fc.nat(600).map((n) => `key ${n}`)
const reservation = fc.nat(11).map((n) => reservationId(`res_${n}`))

const budgets = fc.uniqueArray(
  fc.record({
    budget: fc.constantFrom('key_1', 'key_2', 'prj_1').map(budgetId),
    period: fc.constantFrom('2026-11', '2026-12'),
    limit: fc.option(fc.bigInt({ min: 0n, max: 150n })),
  }),
  { maxLength: 3, selector: ({ budget }) => budget },
)

const payments: fc.Arbitrary<LedgerCommand> = fc.oneof(
  fc.tuple(key, organisation, paid).map(([k, owner, amount]) => deposit(k, owner, amount, 'bank')),
  fc.tuple(key, organisation, paid).map(([k, owner, { micros, currency: of }]): LedgerCommand => {
    const { available } = organisationAccounts(owner, of)
    const back = [posting(available, -micros), posting(externalAccount('bank', of), micros)]
    return { kind: 'transfer', key: k, postings: back }
  }),
  fc.tuple(key, paid).map(([k, amount]) => payout(k, supplier, amount, 'bank')),
  fc.tuple(key, organisation, paid).map(([k, owner, amount]) => refund(k, owner, amount, 'platform')),
  fc
    .record({ key, organisation, limit: price })
    .map((fields): LedgerCommand => ({ kind: 'credit', ...fields })),
)

const reservations: fc.Arbitrary<LedgerCommand> = fc
  .record({ key, reservation, organisation, budgets, price, expiresAtMs: fc.nat(100) })
  .map((fields) => ({
    kind: 'reserve',
    ...fields,
    budgets: fields.budgets.map((level) => ({
      ...level,
      limit: level.limit === null ? null : money(level.limit, fields.price.currency),
    })),
  }))

const settlements: fc.Arbitrary<LedgerCommand> = fc
  .record({
    key,
    reservation,
    charge: price,
    weights: fc.tuple(fc.nat(7), fc.integer({ min: 1, max: 9 })),
    overrun: fc.constantFrom('refuse' as const, 'cap' as const),
  })
  .map(({ weights: [earned, kept], ...fields }) => ({
    kind: 'settle',
    ...fields,
    shares: [
      { account: payableAccount(supplier, fields.charge.currency), weight: earned },
      { account: revenueAccount('platform', fields.charge.currency), weight: kept },
    ],
  }))

const returns: fc.Arbitrary<LedgerCommand> = fc.oneof(
  fc.record({ key, reservation }).map((fields): LedgerCommand => ({ kind: 'release', ...fields })),
  fc
    .record({ key, reservation, nowMs: fc.nat(150) })
    .map((fields): LedgerCommand => ({ kind: 'expire', ...fields })),
)

const someCommand = fc.oneof(
  { weight: 2, arbitrary: payments },
  { weight: 4, arbitrary: reservations },
  { weight: 3, arbitrary: settlements },
  { weight: 1, arbitrary: returns },
)

/**
 * Commands over few ids and small amounts, so that reservations meet and money runs out, some of them sent again later
 * and some keys used twice.
 */
export const someCommands: fc.Arbitrary<readonly LedgerCommand[]> = fc
  .tuple(
    fc.array(someCommand, { maxLength: 120, size: 'max' }),
    fc.array(fc.option(fc.nat()), { minLength: 1, maxLength: 20 }),
  )
  .map(([commands, again]) =>
    commands.flatMap((command, index) => {
      const earlier = again[index % again.length] ?? null
      return earlier === null ? [command] : [command, commands[earlier % (index + 1)]!]
    }),
  )
