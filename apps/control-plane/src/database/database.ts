import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core'
import type * as schema from './schema/index.ts'

/** What queries are run on: the database itself, or a transaction of it. */
export type Queries = PgDatabase<PgQueryResultHKT, typeof schema>

/**
 * PostgreSQL, real or embedded. The embedded one has a single connection: inside a transaction everything has to go
 * through the transaction's own queries, and whoever forgets gets an error at once, with the real one too.
 */
export interface Database {
  readonly kind: 'embedded' | 'server'
  readonly queries: Queries
  /**
   * All of it or nothing. Begun again when the server breaks a deadlock or a conflict, so `work` may run several times.
   *
   * @param isolation - left out, each statement sees what was committed before it
   */
  transaction<T>(work: (queries: Queries) => Promise<T>, isolation?: Isolation): Promise<T>
  /**
   * On a connection of its own, for as long as `work` takes; `work` may use the rest of the database meanwhile. A
   * transaction on a server. The embedded one has no second connection: there `queries` are the database's own.
   */
  aside<T>(work: (queries: Queries) => Promise<T>): Promise<T>
  /** Tells every control plane once the transaction has committed. Words get lost: nobody may depend on one. */
  notify(queries: Queries, channel: Channel, payload?: string): Promise<void>
  /** @returns stops listening */
  listen(channel: Channel, onNotice: (payload: string) => void): () => void
  close(): Promise<void>
}

/** The whole transaction sees one moment; with `serializable`, it is as if transactions had run one after another. */
export type Isolation = 'repeatable read' | 'serializable'

/** `events`: something was appended; `routing`: keys, prices, aliases or addresses changed; `logs`: lines were written. */
export type Channel = (typeof channels)[number]
export const channels = ['events', 'routing', 'logs', 'models'] as const
