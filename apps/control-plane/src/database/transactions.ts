import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { drizzle } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import type { Channel, Isolation, Queries } from './database.ts'
import { sqlStateOf, TransactionConflictError } from './errors.ts'
import * as schema from './schema/index.ts'

/** Of a transaction that runs. */
export interface TransactionScope {
  open: boolean
  /** To be told when it has committed. */
  readonly notices: { readonly channel: Channel; readonly payload: string }[]
}

const scopes = new AsyncLocalStorage<TransactionScope>()

/** The transaction that the caller is in; null outside. */
export function currentScope(): TransactionScope | null {
  const scope = scopes.getStore()
  return scope?.open ? scope : null
}

/**
 * Connections that nobody may take who is in a transaction: with one connection he would wait for himself for ever,
 * and with several, what he does beside his transaction would be visible without it.
 */
export class GuardedPool extends pg.Pool {
  override connect(): Promise<pg.PoolClient>
  override connect(callback: Parameters<pg.Pool['connect']>[0]): void
  override connect(callback?: Parameters<pg.Pool['connect']>[0]): unknown {
    if (currentScope() !== null) {
      throw new Error("Inside a transaction, use the transaction's queries, not those of the database.")
    }
    return callback ? super.connect(callback) : super.connect()
  }
}

const mostAttempts = 10

/** All of it or nothing, begun again after conflicts. */
export async function runTransaction<T>(
  pool: pg.Pool,
  work: (queries: Queries) => Promise<T>,
  isolation?: Isolation,
): Promise<{ readonly result: T; readonly scope: TransactionScope }> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const scope: TransactionScope = { open: true, notices: [] }
      const scoped = (queries: Queries) =>
        scopes.run(scope, async () => {
          try {
            return await work(queries)
          } finally {
            scope.open = false
          }
        })
      const result = await attemptTransaction(pool, scoped, isolation)
      return { result, scope }
    } catch (error) {
      if (attempt === mostAttempts || !isConflict(error)) throw error
      // Those who broke each other's transactions must not meet again at the same moment.
      await sleep(Math.random() * 5 * 2 ** attempt)
    }
  }
}

const conflictStates: readonly (string | null)[] = ['40001', '40P01']

const isConflict = (error: unknown): boolean =>
  error instanceof TransactionConflictError || conflictStates.includes(sqlStateOf(error))

/** One try, on a connection that is given back whatever happens. */
export async function attemptTransaction<T>(
  pool: pg.Pool,
  work: (queries: Queries) => Promise<T>,
  isolation?: Isolation,
): Promise<T> {
  const client = await pool.connect()
  // Without a listener a lost connection would end the process; the query that needs it fails anyway.
  const ignore = () => {}
  client.on('error', ignore)
  try {
    return await drizzle(client, { schema }).transaction(work, isolation && { isolationLevel: isolation })
  } finally {
    client.off('error', ignore)
    client.release(client.getTransactionStatus() !== 'I')
  }
}
