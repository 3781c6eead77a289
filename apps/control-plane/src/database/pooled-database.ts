import { drizzle } from 'drizzle-orm/node-postgres'
import type { Channel, Database, Isolation, Queries } from './database.ts'
import type { Housekeeping } from './embedded/housekeeping.ts'
import type { Notices } from './notices.ts'
import * as schema from './schema/index.ts'
import { attemptTransaction, type GuardedPool, runTransaction } from './transactions.ts'

export interface PooledDatabaseParts {
  readonly kind: Database['kind']
  readonly pool: GuardedPool
  /** For transactions that last; null if there can be no second connection. */
  readonly asidePool: GuardedPool | null
  readonly notices: Notices
  readonly housekeeping: Housekeeping | null
  /** Ends what the pools connect to, if that is ours. */
  readonly closeServer: () => Promise<void>
}

export class PooledDatabase implements Database {
  readonly kind: Database['kind']
  readonly queries: Queries
  readonly #parts: PooledDatabaseParts
  #closed: Promise<void> | null = null

  constructor(parts: PooledDatabaseParts) {
    this.#parts = parts
    this.kind = parts.kind
    this.queries = drizzle(parts.pool, { schema })
  }

  async transaction<T>(work: (queries: Queries) => Promise<T>, isolation?: Isolation): Promise<T> {
    const { result, scope } = await runTransaction(this.#parts.pool, work, isolation)
    this.#parts.notices.committed(scope.notices)
    return result
  }

  aside<T>(work: (queries: Queries) => Promise<T>): Promise<T> {
    const { asidePool } = this.#parts
    return asidePool === null ? work(this.queries) : attemptTransaction(asidePool, work)
  }

  notify(queries: Queries, channel: Channel, payload = ''): Promise<void> {
    return this.#parts.notices.publish(queries, channel, payload)
  }

  listen(channel: Channel, onNotice: (payload: string) => void): () => void {
    return this.#parts.notices.listen(channel, onNotice)
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { pool, asidePool, notices, housekeeping, closeServer } = this.#parts
    await notices.close()
    await housekeeping?.stop()
    await asidePool?.end()
    await pool.end()
    await closeServer()
  }
}
