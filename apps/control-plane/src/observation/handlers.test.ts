import { defaultPageSize, ValidationError } from '@deos/api'
import type { OrganisationId, ReplicaId } from '@deos/domain'
import { ms, organisationId } from '@deos/domain'
import { currency } from '@deos/ledger'
import { systemIds } from '@deos/service'
import { expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { gateways, samples } from '../database/schema/index.ts'
import { describeDatabases, describeEmbedded, testLogger } from '../database/testing/databases.ts'
import { EventStore, type NewEvent } from '../events/event-store.ts'
import type { Caller } from '../http/caller.ts'
import { LedgerStore } from '../ledger/ledger-store.ts'
import { Charging } from './charging.ts'
import { eventHandlers } from './event-handlers.ts'
import { ledgerHandlers } from './ledger-handlers.ts'
import { requestHandlers } from './request-handlers.ts'
import { forgetOld } from './retention.ts'
import { thinSamples } from './samples.ts'
import { means, seriesOf } from './series.ts'
import { StatusBoard } from './status.ts'
import { acme, addCustomer, answered, dollars, start } from './testing/customers.ts'
import { usageHandlers } from './usage-handlers.ts'

const others = organisationId('org-others')
const now = () => start

function callerOf(organisation: OrganisationId, signal = new AbortController().signal): Caller {
  return {
    actor: 'owner',
    organisation,
    userId: null,
    keyId: null,
    machine: null,
    cause: { kind: 'system' },
    requestId: 'req-test',
    address: '127.0.0.1',
    headers: {},
    signal,
    logger: testLogger,
    addHeader: () => undefined,
  }
}

const asked = { params: {}, body: null, idempotencyKey: null, lastEventId: null }

function partsOf(database: Database) {
  const events = new EventStore(database)
  const ledger = new LedgerStore({ database, ids: systemIds, now })
  const charging = new Charging({ database, ledger, events, now, logger: testLogger, prepaid: false })
  return { database, events, ledger, charging, now, newKey: () => systemIds.next('key') }
}

const told = (organisation: OrganisationId, count: number): NewEvent[] =>
  Array.from({ length: count }, (_, index) => ({
    type: 'settings.changed',
    organisation,
    data: { fields: [`field-${index}`] },
    cause: { kind: 'system' },
    machine: null,
    deployment: null,
    atMs: start.getTime(),
  }))

describeDatabases('observation', (open) => {
  test('requests come newest first, page by page, and only those of the own organisation', async () => {
    const database = await open()
    await addCustomer(database)
    const { charging } = partsOf(database)
    const at = (index: number) => new Date(start.getTime() + Math.floor(index / 2)).toISOString()
    await charging.record(
      Array.from({ length: 7 }, (_, index) => answered(`req-${index}`, { at: at(index) })),
    )
    const { requests } = requestHandlers({ database })
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await requests.list({ ...asked, query: { limit: 2, cursor } }, callerOf(acme))
      seen.push(...page.items.map(({ id }) => id))
      cursor = page.nextCursor ?? undefined
    } while (cursor !== undefined)
    expect(seen).toEqual(['req-6', 'req-5', 'req-4', 'req-3', 'req-2', 'req-1', 'req-0'])
    const foreign = await requests.list({ ...asked, query: { limit: 50 } }, callerOf(others))
    expect(foreign.items).toEqual([])
    const show = { ...asked, query: null, params: { request: answered('req-3').id } }
    expect(await requests.show(show, callerOf(acme))).toMatchObject({ id: 'req-3', cost: dollars(0) })
    await expect(requests.show(show, callerOf(others))).rejects.toMatchObject({ problem: 'not-found' })
  })

  test('usage is told apart as asked, and sums up to the same', async () => {
    const database = await open()
    await addCustomer(database)
    const { charging } = partsOf(database)
    await charging.record([
      answered('req-1', { model: 'a' }),
      answered('req-2', { model: 'b', status: 500 }),
      answered('req-3', { model: 'b', at: '2026-01-04T23:59:59.999Z' }),
      answered('req-4', { model: 'b', keyId: null }),
    ])
    const { usage } = usageHandlers({ database, now })
    const ask = (by: ('day' | 'model' | 'key')[], query: object = {}) =>
      usage.show({ ...asked, query: { by, ...query } }, callerOf(acme))
    const byDay = await ask(['day'])
    expect(byDay.rows.map(({ day, requests, model }) => [day, requests, model])).toEqual([
      ['2026-01-04', 1, null],
      ['2026-01-05', 3, null],
    ])
    expect(byDay.total).toMatchObject({ requests: 4, failedRequests: 1, promptTokens: 40 })
    const byModel = await ask(['model', 'key'])
    expect(byModel.rows.map(({ model, keyId, requests }) => [model, keyId, requests])).toEqual([
      ['a', 'key-1', 1],
      ['b', null, 1],
      ['b', 'key-1', 2],
    ])
    expect((await ask(['day'], { from: '2026-01-05', to: '2026-01-05' })).total.requests).toBe(3)
    await expect(ask(['day'], { from: '2026-01-06', to: '2026-01-05' })).rejects.toThrow('is after')
    expect((await usage.show({ ...asked, query: { by: ['day'] } }, callerOf(others))).rows).toEqual([])
  })

  test('a reader of events who comes back misses none and gets none twice', async () => {
    const database = await open()
    const parts = partsOf(database)
    await database.transaction((queries) => parts.events.tell(queries, told(acme, 3)))
    const { events } = eventHandlers(parts)
    const controller = new AbortController()
    const first = await events.list({ ...asked, query: { limit: 1, order: 'oldest' } }, callerOf(acme))
    const after = String(first.items[0]!.sequence)
    const reader = events.follow(
      { ...asked, query: {}, lastEventId: after },
      callerOf(acme, controller.signal),
    )
    const seen: string[] = []
    for await (const { data } of await reader) {
      seen.push((data.data as { fields: string[] }).fields[0]!)
      if (seen.length === 2) {
        void database.transaction(async (queries) => {
          await parts.events.tell(queries, told(others, 1))
          await parts.events.tell(queries, told(acme, 1))
        })
      }
      if (seen.length === 3) controller.abort()
    }
    expect(seen).toEqual(['field-1', 'field-2', 'field-0'])
  })
})

describeEmbedded('observation in particular', (open) => {
  test('events are filtered and paged both ways', async () => {
    const database = await open()
    const parts = partsOf(database)
    await database.transaction((queries) => parts.events.tell(queries, told(acme, 5)))
    const { events } = eventHandlers(parts)
    const list = (query: object) =>
      events.list({ ...asked, query: { limit: defaultPageSize, order: 'newest', ...query } }, callerOf(acme))
    const newest = await list({ limit: 3 })
    const rest = await list({ limit: 3, cursor: newest.nextCursor })
    const sequences = [...newest.items, ...rest.items].map(({ sequence }) => sequence)
    expect(sequences).toEqual([...sequences].sort((a, b) => b - a))
    expect(sequences).toHaveLength(5)
    expect(rest.nextCursor).toBeNull()
    expect((await list({ type: ['machine.joined'] })).items).toEqual([])
    await expect(list({ cursor: 'nonsense' })).rejects.toBeInstanceOf(ValidationError)
  })

  test('a deposit with the same key is made once, and shows in balance and entries', async () => {
    const database = await open()
    await addCustomer(database)
    const { ledger } = ledgerHandlers(partsOf(database))
    const pay = () =>
      ledger.deposit(
        { ...asked, query: null, body: { amount: dollars(20) }, idempotencyKey: 'once' },
        callerOf(acme),
      )
    const [a, b] = [await pay(), await pay()]
    expect(a).toEqual(b)
    expect(a).toMatchObject({
      kind: 'deposit',
      postings: [{ account: 'available' }, { account: 'external' }],
    })
    const nothing = { ...asked, query: null }
    expect(await ledger.balance(nothing, callerOf(acme))).toMatchObject({
      balance: dollars(20),
      available: dollars(20),
      reserved: dollars(0),
    })
    expect(await ledger.balance(nothing, callerOf(others))).toMatchObject({ balance: dollars(0) })
    expect((await ledger.entries({ ...asked, query: { limit: 50 } }, callerOf(acme))).items).toHaveLength(1)
  })

  test('what was used and not paid in is a debt', async () => {
    const database = await open()
    await addCustomer(database)
    const parts = partsOf(database)
    await parts.charging.reserve({
      requestId: 'req-1',
      organisationId: acme,
      projectId: 'project-1',
      keyId: null,
      price: dollars(2),
      durationMs: 1000,
    })
    const { ledger } = ledgerHandlers(parts)
    const balance = () => ledger.balance({ ...asked, query: null }, callerOf(acme))
    expect(await balance()).toMatchObject({ balance: dollars(0), reserved: dollars(2) })
    await parts.charging.record([answered('req-1', { reserved: true, cost: dollars(1.5) })])
    expect(await balance()).toMatchObject({ balance: dollars(-1.5), reserved: dollars(0) })
  })

  test('the board tells of the last minutes, worked out once for all who look at the same time', async () => {
    const database = await open()
    await addCustomer(database)
    const { charging } = partsOf(database)
    await charging.record(
      Array.from({ length: 10 }, (_, index) => answered(`req-${index}`, { ttftMs: ms(10 * (index + 1)) })),
    )
    await database.queries.insert(gateways).values({
      id: 'gateway-1',
      url: 'http://127.0.0.1:8000',
      report: {
        replicas: [
          { replicaId: 'replica-1', open: 3, queued: 1 },
          { replicaId: 'replica-of-others', open: 9, queued: 9 },
        ],
      },
      reportedAt: start,
    })
    let asked = 0
    const board = new StatusBoard({
      database,
      version: '1.2.3',
      now,
      activityOf: () => {
        asked += 1
        return {
          tokensPerSecond: 12,
          lastTokenAt: start,
          replicas: ['replica-1' as ReplicaId],
          deployments: [
            { name: 'chat', state: 'ready', reason: 'All is well.' },
            { name: 'search', state: 'lacking', reason: 'No machine is large enough.' },
          ],
          pricePerHourMicros: 2_500_000n,
        }
      },
      machineStatesOf: () => ['ready', 'ready', 'offline'],
      organisations: async () => [acme],
    })
    const [status] = await Promise.all([board.of(acme), board.of(acme)])
    expect(asked).toBe(1)
    expect(status).toMatchObject({
      health: { state: 'degraded', reasons: ['search: No machine is large enough.'] },
      activeRequests: 3,
      queuedRequests: 1,
      ttftMs: { p50: 55, samples: 10 },
      machines: { ready: 2, offline: 1, joining: 0 },
      deployments: { ready: 1, lacking: 1, paused: 0 },
      spend: { perHour: { currency: currency('USD'), microUnits: '2500000' } },
    })
    expect(status.requestsPerSecond).toBeCloseTo(10 / 60)
    const [sample] = await board.samples()
    expect(sample).toMatchObject({
      subject: `organisation:${acme}`,
      values: { tokens_per_second: 12, ready_machines: 2 },
    })
  })

  test('charts draw means of steps, and old samples are thinned and then forgotten', async () => {
    const database = await open()
    const rows = [0, 10, 20, 30 * 60, 90_000, 90_000 + 150, 31 * 86_400].map((agoSeconds) => ({
      subject: 'machine:m1',
      at: new Date(start.getTime() - agoSeconds * 1000),
      values: { cpu_ratio: agoSeconds },
    }))
    await database.queries.insert(samples).values(rows)
    const later = new Date(start.getTime() + 1)
    const quarter = await seriesOf(database.queries, 'machine:m1', '15m', later)
    expect(quarter.values.cpu_ratio!.filter((value) => value !== null)).toEqual([20, 10, 0])
    const hour = await seriesOf(database.queries, 'machine:m1', '1h', later)
    expect(hour.values.cpu_ratio!.filter((value) => value !== null)).toEqual([1800, 15, 0])
    expect((await seriesOf(database.queries, 'machine:m2', '1h', later)).values).toEqual({})
    await thinSamples(database, start)
    const left = await database.queries.select({ at: samples.at }).from(samples)
    expect(left.map(({ at }) => (start.getTime() - at.getTime()) / 1000).sort((a, b) => a - b)).toEqual([
      0, 10, 20, 1800, 90_000,
    ])
  })

  test('what is older than an organisation wants is forgotten', async () => {
    const database = await open()
    await addCustomer(database)
    const parts = partsOf(database)
    const old = new Date(start.getTime() - 31 * 86_400_000).toISOString()
    await parts.charging.record([answered('req-old', { at: old }), answered('req-new')])
    await forgetOld(database, start)
    const { requests } = requestHandlers({ database })
    const { items } = await requests.list({ ...asked, query: { limit: 50 } }, callerOf(acme))
    expect(items.map(({ id }) => id)).toEqual(['req-new'])
  })
})

test('a step without samples has no mean, and what lies outside is left out', () => {
  const at = (ms: number) => new Date(ms)
  const rows = [
    { at: at(-1), values: { a: 9 } },
    { at: at(0), values: { a: 1, b: null } },
    { at: at(5), values: { a: 3 } },
    { at: at(30), values: { a: 9 } },
  ]
  expect(means(rows, 0, 10, 3)).toEqual({ a: [2, null, null] })
})
