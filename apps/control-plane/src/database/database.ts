import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core'
import type * as schema from './schema/index.ts'

/** What queries are run on: the database itself, or a transaction of it. */
export type Queries = PgDatabase<PgQueryResultHKT, typeof schema>

/** PostgreSQL, real or embedded. */
export interface Database {
  readonly kind: 'embedded' | 'server'
  readonly queries: Queries
  /**
   * All of it or nothing. Begun again when the server breaks a deadlock or a conflict, so `work` may run several times.
   */
  transaction<T>(work: (queries: Queries) => Promise<T>): Promise<T>
  /** Tells every control plane once the transaction has committed. Words get lost: nobody may depend on one. */
  notify(queries: Queries, channel: Channel, payload?: string): Promise<void>
  /** @returns stops listening */
  listen(channel: Channel, onNotice: (payload: string) => void): () => void
  close(): Promise<void>
}

/** `events`: something was appended; `routing`: keys, prices, aliases or addresses changed; `logs`: lines were written. */
export type Channel = 'events' | 'routing' | 'logs' | 'models'
