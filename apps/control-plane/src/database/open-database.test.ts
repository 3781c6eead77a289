import { sql } from 'drizzle-orm'
import { describe, expect, test, vi } from 'vitest'
import type { Database } from './database.ts'
import { DatabaseUnreachableError, DatabaseUrlError, sqlStateOf, TransactionConflictError } from './errors.ts'
import { openDatabase } from './open-database.ts'
import { clusterSecrets, ledgerBalances } from './schema/index.ts'
import { describeDatabases, describeServer, testLogger } from './testing/databases.ts'
import { TestServer } from './testing/test-server.ts'

const secret = (name: string, value = 'x') => ({
  name,
  value,
  createdAt: new Date('2026-01-05T09:30:00.123Z'),
})
const count = (database: Database) => database.queries.$count(clusterSecrets)

describeDatabases('a database', (open, again) => {
  test('has all tables, and gives back what it was given', async () => {
    const database = await open()
    const value = 'ü😀'.repeat(400_000)
    await database.queries.insert(clusterSecrets).values([secret('a', value), secret('b', "'; --")])
    const rows = await database.queries.select().from(clusterSecrets).orderBy(clusterSecrets.name)
    expect(rows).toEqual([secret('a', value), secret('b', "'; --")])
    await database.queries.insert(ledgerBalances).values({ account: 'a', micros: 2n ** 62n })
    expect(await database.queries.select().from(ledgerBalances)).toEqual([
      { account: 'a', micros: 2n ** 62n },
    ])
  })

  test('a transaction is kept whole or not at all, and errors leave the connections usable', async () => {
    const database = await open()
    for (let round = 0; round < 12; round += 1) {
      await expect(
        database.transaction(async (queries) => {
          await queries.insert(clusterSecrets).values(secret('a'))
          await queries.execute(sql`select nothing from nowhere`)
        }),
      ).rejects.toSatisfy((error) => sqlStateOf(error) === '42P01')
      await expect(database.queries.execute(sql`select 1 / 0`)).rejects.toThrow()
    }
    expect(await count(database)).toBe(0)
    await database.transaction(async (queries) => {
      await queries.insert(clusterSecrets).values(secret('a'))
      await queries
        .transaction(async (inner) => {
          await inner.insert(clusterSecrets).values(secret('b'))
          throw new Error('only the inner part')
        })
        .catch(() => {})
    })
    expect(await count(database)).toBe(1)
  })

  test('a conflict begins the transaction again, and ten in a row are passed on', async () => {
    const database = await open()
    let tries = 0
    const result = await database.transaction(async (queries) => {
      tries += 1
      await queries.insert(clusterSecrets).values(secret(`try ${tries}`))
      if (tries === 1) throw new TransactionConflictError('Once more.')
      if (tries === 2) await queries.execute(sql`do $$ begin raise sqlstate '40001'; end $$`)
      if (tries === 3) await queries.execute(sql`do $$ begin raise sqlstate '40P01'; end $$`)
      return 'done'
    })
    expect(result).toBe('done')
    expect(await database.queries.select({ name: clusterSecrets.name }).from(clusterSecrets)).toEqual([
      { name: 'try 4' },
    ])
    let failures = 0
    const failing = database.transaction(async () => {
      failures += 1
      throw new TransactionConflictError('Never.')
    })
    await expect(failing).rejects.toThrow('Never.')
    expect(failures).toBe(10)
  })

  test('inside a transaction the rest of the database is refused instead of waited for', async () => {
    const database = await open()
    const beside = database.transaction(async () => await count(database))
    await expect(beside).rejects.toMatchObject({
      cause: { message: expect.stringContaining('Inside a transaction') },
    })
    const nested = database.transaction(() => database.transaction(async () => 1))
    await expect(nested).rejects.toThrow('Inside a transaction')
    // Work that was begun inside and goes on after the end is outside.
    let later: Promise<number> = Promise.resolve(-1)
    await database.transaction(async () => {
      later = new Promise((resolve) => setTimeout(() => resolve(count(database)), 5))
    })
    expect(await later).toBe(0)
  })

  test('notices are heard by all, once the transaction is there to be seen', async () => {
    const database = await open()
    const other = await again(database)
    const heard: [string, string, number][] = []
    const stops = [database, other].map((one, index) =>
      one.listen('routing', async (payload) => {
        heard.push([`listener ${index}`, payload, await count(one)])
      }),
    )
    await database
      .transaction(async (queries) => {
        await database.notify(queries, 'routing', 'dropped')
        throw new Error('no')
      })
      .catch(() => {})
    await database.transaction(async (queries) => {
      await database.notify(queries, 'routing', 'first')
      await database.notify(queries, 'models', 'of another channel')
      await queries.insert(clusterSecrets).values(secret('a'))
    })
    await vi.waitFor(() => expect(heard).toHaveLength(2))
    await database.notify(database.queries, 'routing')
    await vi.waitFor(() => expect(heard).toHaveLength(4))
    expect(heard.sort()).toEqual([
      ['listener 0', '', 1],
      ['listener 0', 'first', 1],
      ['listener 1', '', 1],
      ['listener 1', 'first', 1],
    ])
    for (const stop of stops) stop()
  })
})

describeServer('a server', (open, again) => {
  test('two transactions that wait for each other both come through', async () => {
    const database = await open()
    await database.queries.insert(ledgerBalances).values([
      { account: 'a', micros: 0n },
      { account: 'b', micros: 0n },
    ])
    const add = (first: string, second: string) =>
      database.transaction(async (queries) => {
        for (const account of [first, second]) {
          await queries.execute(
            sql`update ledger_balances set micros = micros + 1 where account = ${account}`,
          )
          await queries.execute(sql`select pg_sleep(0.05)`)
        }
      })
    await Promise.all([add('a', 'b'), add('b', 'a'), add('a', 'b'), add('b', 'a')])
    expect(await database.queries.select({ micros: ledgerBalances.micros }).from(ledgerBalances)).toEqual([
      { micros: 4n },
      { micros: 4n },
    ])
  })

  test('listeners hear again after their connection broke', async () => {
    const database = await open()
    const other = await again(database)
    const heard: string[] = []
    other.listen('events', (payload) => heard.push(payload))
    await database.queries.execute(
      sql`select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and query like 'listen%'`,
    )
    // What was missed is unknown, so an empty word comes first.
    await vi.waitFor(() => expect(heard).toContain(''), { timeout: 10_000 })
    await vi.waitFor(async () => {
      await database.notify(database.queries, 'events', 'after')
      expect(heard).toContain('after')
    })
  })

  test('several replicas that start at once on an empty database set it up once', async () => {
    const url = await (await TestServer.shared()).createEmptyDatabase()
    const replicas = await Promise.all(
      Array.from({ length: 3 }, () => openDatabase({ url, folder: null }, testLogger)),
    )
    for (const replica of replicas) {
      await replica.queries.insert(clusterSecrets).values(secret(`replica ${replicas.indexOf(replica)}`))
    }
    expect(await count(replicas[0]!)).toBe(3)
    const { rows } = (await replicas[0]!.queries.execute(
      sql`select count(distinct hash)::int as hashes, count(*)::int as runs from drizzle.__drizzle_migrations`,
    )) as unknown as { rows: { hashes: number; runs: number }[] }
    expect(rows[0]!.runs).toBe(rows[0]!.hashes)
    for (const replica of replicas) await replica.close()
  })

  test('a database that does not exist is named, without the password', async () => {
    const database = await open()
    const { rows } = (await database.queries.execute(sql`select inet_server_port() as port`)) as unknown as {
      rows: { port: number }[]
    }
    const url = `postgres://deos:secret@127.0.0.1:${rows[0]!.port}/nowhere`
    const error = await openDatabase({ url, folder: null }, testLogger).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(DatabaseUnreachableError)
    expect((error as Error).message).toMatch(/127\.0\.0\.1:\d+\/nowhere .*"nowhere" does not exist/)
    expect((error as Error).message).not.toContain('secret')
  })
})

describe('an address', () => {
  test.each(['', 'localhost', 'mysql://localhost/deos', 'http://localhost'])('%j is refused', async (url) => {
    await expect(openDatabase({ url, folder: null }, testLogger)).rejects.toThrow(DatabaseUrlError)
  })
})
