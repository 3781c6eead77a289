import { organisationId } from '@deos/domain'
import {
  BudgetExceededError,
  budgetId,
  currency,
  deposit,
  externalAccount,
  IdempotencyConflictError,
  InsufficientFundsError,
  money,
  ReservationExistsError,
  type Reserve,
  reservationId,
  revenueAccount,
  type Settle,
} from '@deos/ledger'
import { systemIds } from '@deos/service'
import { sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { ledgerBalances, ledgerEntries } from '../database/schema/index.ts'
import { describeDatabases } from '../database/testing/databases.ts'
import { LedgerStore } from './ledger-store.ts'
import { verifyBooks } from './verify-books.ts'

const usd = currency('USD')
const dollars = (amount: number) => money(BigInt(Math.round(amount * 1e6)), usd)
const acme = organisationId('org-acme')
const at = new Date('2026-01-05T09:30:00Z')
const revenue = revenueAccount('inference', usd)

const storeOf = (database: Database) => new LedgerStore({ database, ids: systemIds, now: () => at })
const about = { organisation: acme, requestId: null, description: 'A test.' }

const reserve = (name: string, changes: Partial<Reserve> = {}): Reserve => ({
  kind: 'reserve',
  key: `reserve:${name}`,
  reservation: reservationId(name),
  organisation: acme,
  budgets: [
    { budget: budgetId('key:1'), period: '2026-01', limit: dollars(50) },
    { budget: budgetId('project:1'), period: 'always', limit: null },
  ],
  price: dollars(1),
  expiresAtMs: at.getTime() + 60_000,
  ...changes,
})

const settle = (name: string, charge: number): Settle => ({
  kind: 'settle',
  key: `settle:${name}`,
  reservation: reservationId(name),
  charge: dollars(charge),
  shares: [{ account: revenue, weight: 1 }],
  overrun: 'refuse',
})

describeDatabases('the ledger', (open, again) => {
  test('of 200 reservations at once against a budget for 50, exactly 50 succeed', async () => {
    const database = await open()
    const stores = [storeOf(database), storeOf(await again(database))]
    await stores[0]!.execute(deposit('deposit', acme, dollars(1000), 'bank'), about)
    const outcomes = await Promise.allSettled(
      Array.from({ length: 200 }, (_, index) => stores[index % 2]!.execute(reserve(`r${index}`), about)),
    )
    const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []))
    expect(refused).toHaveLength(150)
    for (const error of refused) {
      expect(error).toBeInstanceOf(BudgetExceededError)
      // Nobody was refused while there was money left for him.
      expect((error as BudgetExceededError).held).toEqual(dollars(50))
    }
    expect(await stores[0]!.standing(acme, usd)).toEqual({
      available: dollars(950).micros,
      held: dollars(50).micros,
      credit: 0n,
      payable: 0n,
    })
    expect(await verifyBooks(database)).toEqual({ entries: 51, violations: [] })
  })

  test('reserving, settling, releasing and expiring at once leave books that balance at every entry', async () => {
    const database = await open()
    const stores = [storeOf(database), storeOf(await again(database))]
    const organisations = [acme, organisationId('org-other')]
    for (const [index, organisation] of organisations.entries()) {
      await stores[0]!.execute(deposit(`deposit-${index}`, organisation, dollars(20), 'bank'), about)
    }
    let settled = 0
    await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const store = stores[index % 2]!
        const name = `r${index}`
        const order = reserve(name, {
          organisation: organisations[index % 3 === 0 ? 1 : 0]!,
          expiresAtMs: at.getTime() - 1 + (index % 4),
        })
        const posted = await store.execute(order, about).then(
          () => true,
          (error: unknown) => {
            expect(error).toBeInstanceOf(InsufficientFundsError)
            return false
          },
        )
        if (!posted) return
        if (index % 4 === 0) {
          const expire = { kind: 'expire', key: `expire:${name}`, reservation: reservationId(name) } as const
          await store.execute({ ...expire, nowMs: at.getTime() }, about)
        } else if (index % 4 === 1) {
          await store.execute(
            { kind: 'release', key: `release:${name}`, reservation: reservationId(name) },
            about,
          )
        } else if (index % 4 === 2) {
          await store.execute(settle(name, 0.25), about)
          settled += 0.25
        }
      }),
    )
    const { entries, violations } = await verifyBooks(database)
    expect(violations).toEqual([])
    expect(entries).toBeGreaterThan(50)
    expect(await stores[0]!.sharedBalance(revenue)).toBe(dollars(settled).micros)
    expect(await stores[0]!.sharedBalance(externalAccount('bank', usd))).toBe(dollars(-40).micros)
  })

  test('the same command at once and again charges once', async () => {
    const database = await open()
    const stores = [storeOf(database), storeOf(await again(database))]
    const each = <T>(work: (store: LedgerStore) => Promise<T>) =>
      Promise.all([0, 1, 0, 1, 0, 1].map((index) => work(stores[index]!)))
    const posted = (decisions: readonly { outcome: string }[]) =>
      decisions.filter(({ outcome }) => outcome === 'posted').length

    expect(posted(await each((store) => store.execute(deposit('d', acme, dollars(5), 'bank'), about)))).toBe(
      1,
    )
    expect(posted(await each((store) => store.execute(reserve('r'), about)))).toBe(1)
    const settled = await each((store) => store.execute(settle('r', 0.4), about))
    expect(posted(settled)).toBe(1)
    expect(settled.find(({ outcome }) => outcome === 'duplicate')).toMatchObject({
      reservation: { id: 'r', closing: { outcome: 'settled', chargedMicros: 400_000n } },
    })
    // A transfer between accounts that all share locks no row: the key alone tells that it was done.
    const transfer = {
      kind: 'transfer',
      key: 't',
      postings: [
        { account: revenue, micros: dollars(-0.1).micros },
        { account: externalAccount('bank', usd), micros: dollars(0.1).micros },
      ],
    } as const
    expect(posted(await each((store) => store.execute(transfer, about)))).toBe(1)
    expect((await stores[0]!.standing(acme, usd)).available).toBe(dollars(4.6).micros)
    await expect(stores[0]!.execute(settle('r', 0.5), about)).rejects.toThrow(IdempotencyConflictError)
    await expect(stores[0]!.execute(reserve('r', { key: 'another' }), about)).rejects.toThrow(
      ReservationExistsError,
    )
    expect(await verifyBooks(database)).toEqual({ entries: 4, violations: [] })
  })

  test('one reservation by two at once, for different organisations, is made once', async () => {
    const database = await open()
    const stores = [storeOf(database), storeOf(await again(database))]
    const other = organisationId('org-other')
    for (const organisation of [acme, other]) {
      await stores[0]!.execute(deposit(`d:${organisation}`, organisation, dollars(5), 'bank'), about)
    }
    const outcomes = await Promise.allSettled([
      stores[0]!.execute(reserve('same', { budgets: [] }), about),
      stores[1]!.execute(reserve('same', { budgets: [], organisation: other, key: 'k2' }), about),
    ])
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: expect.any(ReservationExistsError),
    })
    expect((await verifyBooks(database)).violations).toEqual([])
  })

  test('a refused command, or a transaction that fails around one, changes nothing', async () => {
    const database = await open()
    const store = storeOf(database)
    await expect(store.execute(reserve('r'), about)).rejects.toThrow(InsufficientFundsError)
    await expect(
      database.transaction(async (queries) => {
        await store.execute(deposit('d', acme, dollars(5), 'bank'), about, queries)
        throw new Error('no')
      }),
    ).rejects.toThrow('no')
    expect(await database.queries.$count(ledgerEntries)).toBe(0)
    expect((await store.standing(acme, usd)).available).toBe(0n)
    await expect(store.entryOf('d')).rejects.toThrow('No entry')
  })

  test('entries come in pages, newest first, and only those of the organisation', async () => {
    const database = await open()
    const store = storeOf(database)
    const other = organisationId('org-other')
    for (let index = 0; index < 5; index += 1) {
      await store.execute(deposit(`d${index}`, acme, dollars(index + 1), 'bank'), {
        organisation: acme,
        requestId: `req-${index}`,
        description: `Number ${index}.`,
      })
    }
    await store.execute(deposit('other', other, dollars(1), 'bank'), { ...about, organisation: other })
    const first = await store.entries(acme, null, 3)
    const rest = await store.entries(acme, first.nextCursor, 3)
    expect([...first.items, ...rest.items].map(({ key }) => key)).toEqual(['d4', 'd3', 'd2', 'd1', 'd0'])
    expect(rest.nextCursor).toBeNull()
    expect(first.items[0]).toMatchObject({
      id: expect.stringMatching(/^entry-/),
      kind: 'transfer',
      requestId: 'req-4',
      description: 'Number 4.',
      at,
      postings: [
        { account: 'available/USD/org-acme', micros: 5_000_000n },
        { account: 'external/USD/bank', micros: -5_000_000n },
      ],
    })
    expect(await store.entryOf('d1')).toEqual(rest.items[0])
    await expect(store.entries(acme, 'nonsense', 3)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' })
  })

  test('overdue reservations are those that are open, first to expire first', async () => {
    const database = await open()
    const store = storeOf(database)
    await store.execute(deposit('d', acme, dollars(50), 'bank'), about)
    const expiring = { late: 30, first: 10, settled: 5, later: 60_000, second: 20 }
    for (const [name, inMs] of Object.entries(expiring)) {
      await store.execute(reserve(name, { expiresAtMs: at.getTime() + inMs }), about)
    }
    await store.execute(settle('settled', 0.5), about)
    const overdue = await store.overdue(new Date(at.getTime() + 30), 2)
    expect(overdue.map(({ id }) => id)).toEqual(['first', 'second'])
    expect(overdue[0]).toEqual({
      id: 'first',
      organisation: acme,
      budgets: reserve('x').budgets.map(({ budget, period }) => ({ budget, period })),
      price: dollars(1),
      expiresAtMs: at.getTime() + 10,
      closing: null,
    })
  })

  test('books that were changed by hand are found out', async () => {
    const database = await open()
    const store = storeOf(database)
    await store.execute(deposit('d', acme, dollars(5), 'bank'), about)
    await store.execute(reserve('r', { budgets: [] }), about)
    await database.queries.update(ledgerBalances).set({ micros: sql`micros + 1` })
    const changed = await verifyBooks(database)
    expect(changed.violations.map(({ rule, subject }) => [rule, subject])).toEqual([
      ['row', 'available/USD/org-acme'],
      ['row', 'held/USD/org-acme'],
    ])
    await database.queries.execute(sql`delete from ledger_postings where account like 'external%'`)
    const torn = await verifyBooks(database)
    expect(torn.violations).toContainEqual({
      rule: 'balanced',
      subject: 'money in USD',
      expectedMicros: 0n,
      actualMicros: 5_000_000n,
      entry: 1,
    })
  })
})
