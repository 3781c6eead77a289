import type { Budget } from '@deos/api'
import { BudgetExceededError, currency, InsufficientFundsError } from '@deos/ledger'
import { systemIds } from '@deos/service'
import { expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { events, requestRecords, usageDays } from '../database/schema/index.ts'
import { describeDatabases, describeEmbedded, testLogger } from '../database/testing/databases.ts'
import { EventStore } from '../events/event-store.ts'
import { LedgerStore } from '../ledger/ledger-store.ts'
import { verifyBooks } from '../ledger/verify-books.ts'
import { keyBudget, organisationBudget, periodAt, projectBudget, spentOf } from './budgets.ts'
import { Charging } from './charging.ts'
import { acme, addCustomer, answered, dollars, keyId, project, start } from './testing/customers.ts'

const usd = currency('USD')
const total = (amount: number): Budget => ({ limit: dollars(amount), period: 'total' })

function chargingOver(database: Database, options: { prepaid?: boolean; now?: () => Date } = {}) {
  const now = options.now ?? (() => start)
  const ledger = new LedgerStore({ database, ids: systemIds, now })
  const charging = new Charging({
    database,
    ledger,
    events: new EventStore(database),
    now,
    logger: testLogger,
    prepaid: options.prepaid ?? false,
  })
  return { ledger, charging }
}

const order = (requestId: string, price = 1) => ({
  requestId,
  organisationId: acme,
  projectId: project,
  keyId,
  price: dollars(price),
  durationMs: 60_000,
})

const spent = (database: Database, budget: Budget | null, at = start) =>
  spentOf(database.queries, [{ budget: keyBudget(keyId), limit: budget }], at, usd)

async function expectSoundBooks(database: Database): Promise<void> {
  const { violations } = await verifyBooks(database)
  expect(violations).toEqual([])
}

describeDatabases('charging', (open, again) => {
  test('of 200 requests at once over two control planes against a budget for 50, exactly 50 run', async () => {
    const database = await open()
    await addCustomer(database, { key: total(50), project: total(80) })
    const planes = [chargingOver(database).charging, chargingOver(await again(database)).charging]
    const outcomes = await Promise.allSettled(
      Array.from({ length: 200 }, (_, index) => planes[index % 2]!.reserve(order(`req-${index}`))),
    )
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(50)
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(BudgetExceededError)
    }
    expect((await spent(database, total(50))).get(keyBudget(keyId))).toBe(50_000_000n)
    const reached = await database.queries.select({ type: events.type }).from(events)
    expect(reached.map(({ type }) => type)).toContain('budget.reached')
    await expectSoundBooks(database)
  })

  test('a request is charged, counted and logged once, however often it is handed over', async () => {
    const database = await open()
    await addCustomer(database, { key: total(50) })
    const { charging } = chargingOver(database)
    await charging.reserve(order('req-1', 3))
    const request = answered('req-1', { reserved: true, cost: dollars(1.25) })
    await Promise.all([1, 2, 3].map(() => charging.record([request, answered('req-2')])))
    expect((await spent(database, null)).get(keyBudget(keyId))).toBe(1_250_000n)
    const [usage] = await database.queries.select().from(usageDays)
    expect(usage).toMatchObject({ requests: 2, promptTokens: 20, costMicros: 1_250_000n, keyId })
    expect(await database.queries.select({ id: requestRecords.id }).from(requestRecords)).toHaveLength(2)
    await expectSoundBooks(database)
  })
})

describeEmbedded('charging in particular', (open) => {
  test('what a charge leaves of a reservation may be spent by others', async () => {
    const database = await open()
    await addCustomer(database, { key: total(2) })
    const { charging } = chargingOver(database)
    await charging.reserve(order('req-1', 2))
    await expect(charging.reserve(order('req-2', 1))).rejects.toBeInstanceOf(BudgetExceededError)
    await charging.record([answered('req-1', { reserved: true, cost: dollars(0.5) })])
    await charging.reserve(order('req-2', 1.5))
    await expectSoundBooks(database)
  })

  test('a reservation that nothing is heard of ends by itself; a record that comes after is still paid', async () => {
    const database = await open()
    await addCustomer(database, { key: total(2) })
    let now = start
    const { charging } = chargingOver(database, { now: () => now })
    const expiresAt = await charging.reserve(order('req-1', 2))
    expect(await charging.expireOverdue()).toBe(0)
    now = new Date(expiresAt.getTime() + 1)
    expect(await charging.expireOverdue()).toBe(1)
    expect((await spent(database, null)).get(keyBudget(keyId))).toBe(0n)
    await charging.record([answered('req-1', { reserved: true, cost: dollars(1) })])
    expect((await spent(database, null)).get(keyBudget(keyId))).toBe(1_000_000n)
    await expectSoundBooks(database)
  })

  test('a record that comes when the money is gone is logged and forgone', async () => {
    const database = await open()
    await addCustomer(database, { key: total(2) })
    let now = start
    const { charging } = chargingOver(database, { now: () => now })
    now = new Date((await charging.reserve(order('req-1', 2))).getTime() + 1)
    await charging.expireOverdue()
    await charging.reserve(order('req-2', 2))
    await charging.record([answered('req-1', { reserved: true, cost: dollars(1) })])
    expect((await spent(database, null)).get(keyBudget(keyId))).toBe(2_000_000n)
    expect(await database.queries.select().from(requestRecords)).toHaveLength(1)
    await expectSoundBooks(database)
  })

  test('no more is charged than was reserved', async () => {
    const database = await open()
    await addCustomer(database)
    const { charging } = chargingOver(database)
    await charging.reserve(order('req-1', 1))
    await charging.record([answered('req-1', { reserved: true, cost: dollars(9) })])
    expect((await spent(database, null)).get(keyBudget(keyId))).toBe(1_000_000n)
  })

  test('a request that cost nothing gives everything back', async () => {
    const database = await open()
    await addCustomer(database, { key: total(1) })
    const { charging } = chargingOver(database)
    await charging.reserve(order('req-1', 1))
    await charging.record([answered('req-1', { reserved: true, status: 500 })])
    await charging.reserve(order('req-2', 1))
    await expectSoundBooks(database)
  })

  test('the same reservation twice holds once, and none is made of a charged request', async () => {
    const database = await open()
    await addCustomer(database, { key: total(1) })
    const { charging } = chargingOver(database)
    const first = await charging.reserve(order('req-1', 1))
    expect(await charging.reserve(order('req-1', 1))).toEqual(first)
    await charging.record([answered('req-1', { reserved: true, cost: dollars(0.1) })])
    await expect(charging.reserve(order('req-1', 1))).rejects.toMatchObject({ problem: 'conflict' })
  })

  test('with prepayment, what was not paid in cannot be used', async () => {
    const database = await open()
    await addCustomer(database)
    const { charging } = chargingOver(database, { prepaid: true })
    await expect(charging.reserve(order('req-1', 0.01))).rejects.toBeInstanceOf(InsufficientFundsError)
  })

  test('a project of somebody else is unknown', async () => {
    const database = await open()
    await addCustomer(database)
    const { charging } = chargingOver(database)
    const foreign = { ...order('req-1'), projectId: 'project-of-others' }
    await expect(charging.reserve(foreign)).rejects.toMatchObject({ problem: 'not-found' })
  })

  test('the widest level counts what all narrower ones spend', async () => {
    const database = await open()
    await addCustomer(database, { organisation: total(1) })
    const { charging } = chargingOver(database)
    await charging.reserve(order('req-1', 0.75))
    await charging.reserve({ ...order('req-2', 0.25), keyId: null })
    await expect(charging.reserve(order('req-3', 0.01))).rejects.toBeInstanceOf(BudgetExceededError)
    const limits = [projectBudget(project), organisationBudget(acme)].map((budget) => ({
      budget,
      limit: total(1),
    }))
    const sums = await spentOf(database.queries, limits, start, usd)
    expect([...sums.values()]).toEqual([1_000_000n, 1_000_000n])
  })
})

test.each([
  ['day', '2026-01-05T00:00:00Z', '2026-01-05'],
  ['month', '2026-12-31T23:59:59.999Z', '2026-12'],
  ['week', '2026-01-01T00:00:00Z', '2026-W01'],
  ['week', '2027-01-03T23:59:59Z', '2026-W53'],
  ['week', '2027-01-04T00:00:00Z', '2027-W01'],
  ['week', '2024-12-30T12:00:00Z', '2025-W01'],
  ['total', '2026-01-05T00:00:00Z', 'always'],
] as const)('a %s at %s is %s', (period, at, name) => {
  expect(periodAt({ limit: dollars(1), period }, new Date(at))).toBe(name)
})
