import { cursorFormat, type EventType, type Handlers, type Routes } from '@deos/api'
import type { OrganisationId } from '@deos/domain'
import { and, asc, desc, eq, gt, inArray, lt, type SQL } from 'drizzle-orm'
import { z } from 'zod'
import type { Database } from '../database/database.ts'
import { events } from '../database/schema/index.ts'
import { apiEventOf } from '../events/api-event.ts'
import type { EventStore } from '../events/event-store.ts'
import { type Caller, organisationOf } from '../http/caller.ts'

const cursors = cursorFormat('events', z.int())
const readAtOnce = 200
/** Words of new events may get lost; then they come a little later. */
const lookAgainMs = 1000

interface Filter {
  readonly type?: readonly EventType[] | undefined
  readonly machine?: string | undefined
  readonly deployment?: string | undefined
}

export interface EventHandlerParts {
  readonly database: Database
  readonly events: EventStore
}

export const eventHandlers = ({
  database,
  events: store,
}: EventHandlerParts): Pick<Handlers<Routes, Caller>, 'events'> => ({
  events: {
    async list({ query }, caller) {
      const { cursor, limit, order } = query
      const from = cursor === undefined ? undefined : cursors.decode(cursor)
      const newest = order === 'newest'
      const place =
        from === undefined ? undefined : newest ? lt(events.sequence, from) : gt(events.sequence, from)
      const rows = await database.queries
        .select()
        .from(events)
        .where(and(ofFilter(organisationOf(caller), query), place))
        .orderBy(newest ? desc(events.sequence) : asc(events.sequence))
        .limit(limit + 1)
      const last = rows.length > limit ? rows[limit - 1] : undefined
      return {
        items: rows.slice(0, limit).map(apiEventOf),
        nextCursor: last ? cursors.encode(last.sequence) : null,
      }
    },
    async *follow({ query, lastEventId }, caller) {
      const organisation = organisationOf(caller)
      const news = new News(database, caller.signal)
      try {
        let seen = sequenceOf(lastEventId) ?? (await store.lastSequence(organisation))
        while (!caller.signal.aborted) {
          const rows = await database.queries
            .select()
            .from(events)
            .where(and(ofFilter(organisation, query), gt(events.sequence, seen)))
            .orderBy(asc(events.sequence))
            .limit(readAtOnce)
          for (const row of rows) {
            seen = row.sequence
            yield { id: String(row.sequence), data: apiEventOf(row) }
          }
          if (rows.length < readAtOnce) await news.next()
        }
      } finally {
        news.stop()
      }
    },
  },
})

const ofFilter = (organisation: OrganisationId, { type, machine, deployment }: Filter): SQL | undefined =>
  and(
    eq(events.organisationId, organisation),
    type ? inArray(events.type, [...type]) : undefined,
    machine ? eq(events.machineId, machine) : undefined,
    deployment ? eq(events.deploymentId, deployment) : undefined,
  )

/** Ids of these streams are sequence numbers; whatever else a reader sends begins with what is new. */
function sequenceOf(lastEventId: string | null): number | null {
  return lastEventId !== null && /^\d{1,15}$/.test(lastEventId) ? Number(lastEventId) : null
}

/** Waits for word of new events; what was heard while nobody waited is not lost. */
class News {
  #heard = false
  #wake: () => void = () => undefined
  readonly #unlisten: () => void

  constructor(
    database: Database,
    private readonly signal: AbortSignal,
  ) {
    this.#unlisten = database.listen('events', () => {
      this.#heard = true
      this.#wake()
    })
    signal.addEventListener('abort', this.#abort, { once: true })
  }

  async next(): Promise<void> {
    if (!this.#heard && !this.signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, lookAgainMs)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.#heard = false
  }

  stop(): void {
    this.#unlisten()
    this.signal.removeEventListener('abort', this.#abort)
  }

  readonly #abort = () => this.#wake()
}
