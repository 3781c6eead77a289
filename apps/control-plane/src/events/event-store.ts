import type { EventType } from '@deos/api'
import { type DeploymentId, DomainError, type MachineId, type OrganisationId } from '@deos/domain'
import { and, asc, desc, eq, gt, is, max, sql } from 'drizzle-orm'
import { PgTransaction } from 'drizzle-orm/pg-core'
import type { Database, Queries } from '../database/database.ts'
import { type EventCause, events } from '../database/schema/index.ts'

/** Streams that state is folded from. */
export type FoldedStream = 'fleet' | 'deployments'

/** A row of `events`, without what the store adds. */
export interface NewEvent {
  /** As the API names it: `machine.joined`. */
  readonly type: EventType
  readonly organisation: OrganisationId
  /** Plain JSON. For folded streams the event of `packages/fleet` itself, else the API's `data`. */
  readonly data: unknown
  readonly cause: EventCause
  readonly machine: MachineId | null
  readonly deployment: DeploymentId | null
  readonly atMs: number
}

export type StoredEvent = typeof events.$inferSelect

/** Somebody else appended first. */
export class EventConflictError extends DomainError {
  readonly code = 'EVENT_CONFLICT'
  readonly retriable = true
  constructor(
    readonly stream: FoldedStream,
    readonly expectedVersion: number,
    readonly actualVersion: number,
  ) {
    super(
      `The events of ${stream} have come to version ${actualVersion}; ${expectedVersion} was expected.`,
      'Try again: the decision is made anew with what has changed.',
    )
  }
}

/** Writers take turns for as long as they hold it. Any number, the same in every version. */
const appendLock = 6_037_002
/** PostgreSQL takes 65,535 parameters in a statement. */
const rowsAtOnce = 1000

/**
 * The log of what happened. Numbers of events grow in the order in which they become visible: whoever has seen one
 * never misses a smaller one.
 */
export class EventStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /**
   * Appends at exactly `version`, the one before. Should come last in its transaction: until that ends, nobody else
   * appends anything.
   *
   * @param queries - of a transaction
   * @throws EventConflictError if somebody else was faster
   */
  async append(
    queries: Queries,
    stream: FoldedStream,
    version: number,
    appended: readonly NewEvent[],
  ): Promise<void> {
    if (appended.length === 0) return
    await takeTurn(queries)
    await this.requireVersion(queries, stream, version)
    const rows = appended.map((event, index) => ({ ...rowOf(event), stream, version: version + 1 + index }))
    await this.#insert(queries, stream, rows)
  }

  /**
   * Tells something that nothing is folded from. Should come last in its transaction.
   *
   * @param queries - of a transaction
   */
  async tell(queries: Queries, told: readonly NewEvent[]): Promise<void> {
    if (told.length === 0) return
    await takeTurn(queries)
    const rows = told.map((event) => ({ ...rowOf(event), stream: 'organisation', version: null }))
    await this.#insert(queries, 'organisation', rows)
  }

  /** @throws EventConflictError if the stream is not at `version` */
  async requireVersion(queries: Queries, stream: FoldedStream, version: number): Promise<void> {
    const [row] = await queries
      .select({ version: max(events.version) })
      .from(events)
      .where(eq(events.stream, stream))
    const actual = row?.version ?? 0
    if (actual !== version) throw new EventConflictError(stream, version, actual)
  }

  /** Events of a folded stream after a version, oldest first. */
  readStream(stream: FoldedStream, afterVersion: number, limit: number): Promise<readonly StoredEvent[]> {
    return this.#database.queries
      .select()
      .from(events)
      .where(and(eq(events.stream, stream), gt(events.version, afterVersion)))
      .orderBy(asc(events.version))
      .limit(limit)
  }

  /** Events of one organisation, or of all, after a number, oldest first. */
  readAfter(
    organisation: OrganisationId | null,
    sequence: number,
    limit: number,
  ): Promise<readonly StoredEvent[]> {
    const after = gt(events.sequence, sequence)
    return this.#database.queries
      .select()
      .from(events)
      .where(organisation === null ? after : and(eq(events.organisationId, organisation), after))
      .orderBy(asc(events.sequence))
      .limit(limit)
  }

  /** The greatest number of an organisation's events; 0 before the first. */
  async lastSequence(organisation: OrganisationId): Promise<number> {
    const [row] = await this.#database.queries
      .select({ sequence: events.sequence })
      .from(events)
      .where(eq(events.organisationId, organisation))
      .orderBy(desc(events.sequence))
      .limit(1)
    return row?.sequence ?? 0
  }

  async #insert(
    queries: Queries,
    stream: string,
    rows: readonly (typeof events.$inferInsert)[],
  ): Promise<void> {
    for (let first = 0; first < rows.length; first += rowsAtOnce) {
      await queries.insert(events).values(rows.slice(first, first + rowsAtOnce))
    }
    await this.#database.notify(queries, 'events', stream)
  }
}

async function takeTurn(queries: Queries): Promise<void> {
  if (!is(queries, PgTransaction)) throw new Error('Events are appended in a transaction.')
  // A statement of its own: those after it see what was committed while it waited.
  await queries.execute(sql`select pg_advisory_xact_lock(${appendLock})`)
}

const rowOf = ({ type, organisation, data, cause, machine, deployment, atMs }: NewEvent) => ({
  organisationId: organisation,
  type,
  data,
  cause,
  machineId: machine,
  deploymentId: deployment,
  at: new Date(atMs),
})
