import { sql } from 'drizzle-orm'
import { expect, test, vi } from 'vitest'
import type { Database } from '../database/database.ts'
import { claims as claimRows } from '../database/schema/index.ts'
import { describeDatabases, describeServer } from '../database/testing/databases.ts'
import { Claims } from './claims.ts'
import { ClusterSecrets } from './cluster-secrets.ts'

const now = () => new Date('2026-01-05T09:30:00Z')
const claimsOf = (database: Database, holder: string) => new Claims({ database, holder, now })

function gate(): { readonly open: () => void; readonly opened: Promise<void> } {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, opened }
}

describeDatabases('a cluster', (open, again) => {
  test('secrets are made once for all, whoever asks first', async () => {
    const database = await open()
    const replicas = [database, await again(database)].map(
      (one) => new ClusterSecrets({ database: one, now }),
    )
    const values = await Promise.all([0, 1, 0, 1].map((index) => replicas[index]!.get('rings')))
    expect(values[0]).toHaveLength(32)
    for (const value of values) expect(value).toEqual(values[0])
    expect(await replicas[0]!.get('tickets')).not.toEqual(values[0])
    const later = new ClusterSecrets({ database, now: () => new Date() })
    expect(await later.get('rings')).toEqual(values[0])
  })

  test('claims of one name exclude each other, and end with the work', async () => {
    const database = await open()
    const [one, other] = [claimsOf(database, 'one'), claimsOf(await again(database), 'other')]
    const begun = gate()
    const end = gate()
    const first = one.tryRun('reconcile', async () => {
      begun.open()
      await end.opened
      // The rest of the database can be used meanwhile.
      await database.transaction((queries) => queries.execute(sql`select 1`))
      return 'first'
    })
    await begun.opened
    expect(await other.tryRun('reconcile', async () => 'second')).toBeNull()
    expect(await one.tryRun('reconcile', async () => 'second')).toBeNull()
    expect(await other.tryRun('expire', async () => 'another')).toBe('another')
    end.open()
    expect(await first).toBe('first')
    expect(await other.tryRun('reconcile', async () => 'third')).toBe('third')
    await expect(
      one.tryRun('reconcile', async () => {
        throw new Error('broke')
      }),
    ).rejects.toThrow('broke')
    expect(await database.queries.$count(claimRows)).toBe(2)
    const [row] = await database.queries.select().from(claimRows).where(sql`name = 'reconcile'`)
    expect(row).toEqual({ name: 'reconcile', holder: 'other', at: now() })
  })

  test('work that is not to be remembered leaves nothing behind', async () => {
    const database = await open()
    const claims = claimsOf(database, 'one')
    expect(await claims.tryRun('once', async () => 'done', { remembers: false })).toBe('done')
    expect(await claims.tryRun('once', async () => 'again', { remembers: false })).toBe('again')
    expect(await database.queries.$count(claimRows)).toBe(0)
  })

  test('many claims at once do not wait for each other', async () => {
    const database = await open()
    const [one, other] = [claimsOf(database, 'one'), claimsOf(await again(database), 'other')]
    const run = (claims: Claims, index: number) =>
      claims.tryRun(`work ${index}`, () => database.transaction(async () => index))
    const results = await Promise.all(
      Array.from({ length: 24 }, (_, index) => run(index % 2 ? one : other, index)),
    )
    expect(results).toEqual(results.map((_, index) => index))
  })
})

describeServer('a cluster', (open, again) => {
  test('a claim is free when the connection of its holder dies', async () => {
    const database = await open()
    const [one, other] = [claimsOf(database, 'one'), claimsOf(await again(database), 'other')]
    const connection = gate()
    const end = gate()
    let pid = 0
    const lost = one.tryRun('reconcile', async (queries) => {
      const { rows } = (await queries.execute(sql`select pg_backend_pid() as pid`)) as unknown as {
        rows: { pid: number }[]
      }
      pid = rows[0]!.pid
      connection.open()
      await end.opened
      await queries.update(claimRows).set({ holder: 'a dead one' })
    })
    await connection.opened
    expect(await other.tryRun('reconcile', async () => true)).toBeNull()
    await database.queries.execute(sql`select pg_terminate_backend(${pid})`)
    await vi.waitFor(async () => expect(await other.tryRun('reconcile', async () => true)).toBe(true))
    end.open()
    // Who lost a claim can write nothing through it.
    await expect(lost).rejects.toThrow()
    const [row] = await database.queries.select().from(claimRows)
    expect(row!.holder).toBe('other')
    expect(await one.tryRun('reconcile', async () => 'again')).toBe('again')
  })
})
