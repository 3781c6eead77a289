import { organisationId } from '@deos/domain'
import { expect, test } from 'vitest'
import type { AccountId } from './accounts.ts'
import { externalAccount, organisationAccounts } from './accounts.ts'
import type { LedgerCommand } from './commands.ts'
import { decide } from './decide.ts'
import { IdempotencyConflictError } from './errors.ts'
import { LedgerInputError } from './input-errors.ts'
import { Ledger } from './ledger.ts'
import { largestAmount, micros, money } from './money.ts'
import { posting } from './postings.ts'
import { snapshotOf } from './snapshot.ts'
import { viewOfState } from './state.ts'
import { acme, dollars, expire, level, platform, release, reserve, settle, usd } from './testing/fixtures.ts'
import { deposit } from './transfers.ts'

const { available, held } = organisationAccounts(acme, usd)
const bank = externalAccount('bank', usd)

const story: readonly LedgerCommand[] = [
  deposit('d', acme, dollars('10'), 'stripe'),
  { kind: 'credit', key: 'c', organisation: acme, limit: dollars('1') },
  reserve('a', '1', { budgets: [level('key_1', '5')] }),
  settle('a', '0.5'),
  reserve('b', '1'),
  release('b'),
  reserve('c', '1'),
  expire('c', 2_000),
]

test('a command that comes again changes nothing and says so', () => {
  const ledger = new Ledger()
  for (const command of story) {
    expect(ledger.execute(command).outcome).toBe('posted')
    const before = snapshotOf(ledger.state)
    expect(ledger.execute(structuredClone(command)).outcome).toBe('duplicate')
    expect(snapshotOf(ledger.state)).toEqual(before)
  }
  for (const command of story) expect(ledger.execute(command).outcome).toBe('duplicate')
  expect(ledger.entries).toHaveLength(story.length)
})

test('a duplicate shows the reservation as it stands now', () => {
  const ledger = new Ledger()
  for (const command of story) ledger.execute(command)
  expect(ledger.execute(story[2]!)).toMatchObject({
    outcome: 'duplicate',
    reservation: { id: 'a', closing: { outcome: 'settled', chargedMicros: 500_000n } },
  })
  expect(ledger.execute(story[0]!)).toEqual({ outcome: 'duplicate', reservation: null })
})

test.each(story.map((command) => [command.kind, command] as const))(
  'a key that was used for a %s is refused with anything else',
  (_, original) => {
    const ledger = new Ledger()
    for (const command of story) ledger.execute(command)
    const others = [
      ...story
        .filter((command) => command !== original)
        .map((command) => ({ ...command, key: original.key })),
      deposit(original.key, acme, dollars('10.01'), 'stripe'),
      deposit(original.key, organisationId('org_other'), dollars('10'), 'stripe'),
      settle('a', '0.5', { key: original.key, overrun: 'cap' }),
      reserve('a', '1', { key: original.key, budgets: [level('key_1', '5', '2026-12')] }),
      reserve('b', '1', { key: original.key, expiresAtMs: 999 }),
    ]
    for (const other of others) expect(() => ledger.execute(other)).toThrow(IdempotencyConflictError)
    expect(ledger.entries).toHaveLength(story.length)
  },
)

test('a retried reservation is the same under a limit that changed meanwhile', () => {
  const ledger = new Ledger()
  ledger.execute(story[0]!)
  ledger.execute(reserve('a', '4', { budgets: [level('key_1', '5')] }))
  expect(ledger.execute(reserve('a', '4', { budgets: [level('key_1', '3')] })).outcome).toBe('duplicate')
})

const wrong: readonly (readonly [string, LedgerCommand, RegExp])[] = [
  ['an empty key', { ...release('a'), key: '' }, /key/],
  ['a long key', { ...release('a'), key: 'k'.repeat(257) }, /key/],
  ['a negative price', reserve('x', '-1'), /price cannot be "-1\.00 USD"/],
  ['a price beyond reason', reserve('x', '1', { price: money(largestAmount + 1n, usd) }), /price/],
  ['a reservation id with a slash', reserve('x/y', '1'), /reservation/],
  ['no organisation', reserve('x', '1', { organisation: organisationId('') }), /organisation/],
  ['a budget twice', reserve('x', '1', { budgets: [level('k', '1'), level('k', '2', 'p2')] }), /budgets/],
  ['a period with a slash', reserve('x', '1', { budgets: [level('k', '1', '2026/11')] }), /period/],
  ['a negative limit', reserve('x', '1', { budgets: [level('k', '-1')] }), /limit/],
  [
    'a limit in another currency',
    reserve('x', '1', { budgets: [{ ...level('k', null), limit: money(1n, 'EUR' as typeof usd) }] }),
    /limit cannot be "EUR"/,
  ],
  ['no expiry', reserve('x', '1', { expiresAtMs: Number.NaN }), /expiresAtMs/],
  ['a negative time', expire('a', -1), /nowMs/],
  ['a negative charge', settle('a', '-0.01'), /charge/],
  ['nobody to charge for', settle('a', '1', { shares: [] }), /shares/],
  ['shares of nothing', settle('a', '1', { shares: [{ account: platform, weight: 0 }] }), /shares/],
  ['a fractional share', settle('a', '1', { shares: [{ account: platform, weight: 0.5 }] }), /weight/],
  ['a share for a customer', settle('a', '1', { shares: [{ account: available, weight: 1 }] }), /share/],
  [
    'a share in another currency',
    settle('a', '1', { shares: [{ account: 'revenue/EUR/platform' as AccountId, weight: 1 }] }),
    /share/,
  ],
  ['a negative credit', { kind: 'credit', key: 'x', organisation: acme, limit: dollars('-1') }, /limit/],
  ['a transfer of nothing', { kind: 'transfer', key: 'x', postings: [] }, /postings/],
  [
    'a transfer that does not balance',
    { kind: 'transfer', key: 'x', postings: [posting(bank, -2n), posting(available, 1n)] },
    /-1 micro-units off/,
  ],
  [
    'a transfer that balances across currencies only',
    {
      kind: 'transfer',
      key: 'x',
      postings: [posting(bank, -2n), posting('available/EUR/o' as AccountId, 2n)],
    },
    /micro-units off/,
  ],
  [
    'a transfer out of what is held',
    { kind: 'transfer', key: 'x', postings: [posting(held, -2n), posting(available, 2n)] },
    /account cannot be "held/,
  ],
  [
    'an empty posting',
    { kind: 'transfer', key: 'x', postings: [posting(bank, 0n), posting(available, 0n)] },
    /posting/,
  ],
  [
    'an unknown account',
    {
      kind: 'transfer',
      key: 'x',
      postings: [posting('wallet/USD/o' as AccountId, -2n), posting(available, 2n)],
    },
    /account cannot be "wallet/,
  ],
]

test.each(wrong)('%s is refused', (_, command, message) => {
  const ledger = new Ledger()
  for (const each of story) ledger.execute(each)
  expect(() => ledger.execute(command)).toThrow(LedgerInputError)
  expect(() => ledger.execute(command)).toThrow(message)
  expect(ledger.entries).toHaveLength(story.length)
})

test('rows that contradict each other stop the decision as a bug', () => {
  const ledger = new Ledger()
  ledger.execute(story[0]!)
  ledger.execute(reserve('a', '1'))
  const tampered = new Map(ledger.state.balances).set(held, micros(0n))
  expect(() => decide(viewOfState({ ...ledger.state, balances: tampered }), release('a'))).toThrow(
    'held/USD/org_acme would fall to -1000000 micro-units.',
  )
})
