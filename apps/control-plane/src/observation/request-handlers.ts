import { cursorFormat, type Handlers, money, ProblemError, type RequestRecord, type Routes } from '@deos/api'
import { and, desc, eq, lt, or, type SQL } from 'drizzle-orm'
import { z } from 'zod'
import type { Database } from '../database/database.ts'
import { requestRecords } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'

const cursors = cursorFormat('requests', z.tuple([z.int(), z.string()]))

export const requestHandlers = ({
  database,
}: {
  readonly database: Database
}): Pick<Handlers<Routes, Caller>, 'requests'> => ({
  requests: {
    async list({ query }, caller) {
      const { cursor, limit, key, project, deployment, model } = query
      const wanted: (SQL | undefined)[] = [
        eq(requestRecords.organisationId, organisationOf(caller)),
        key && eq(requestRecords.keyId, key),
        project && eq(requestRecords.projectId, project),
        deployment && eq(requestRecords.deploymentId, deployment),
        model && eq(requestRecords.model, model),
        cursor && before(cursors.decode(cursor)),
      ].map((condition) => condition || undefined)
      const rows = await database.queries
        .select()
        .from(requestRecords)
        .where(and(...wanted))
        .orderBy(desc(requestRecords.at), desc(requestRecords.id))
        .limit(limit + 1)
      const last = rows.length > limit ? rows[limit - 1] : undefined
      return {
        items: rows.slice(0, limit).map(recordOf),
        nextCursor: last ? cursors.encode([last.at.getTime(), last.id]) : null,
      }
    },
    async show({ params }, caller) {
      const [row] = await database.queries
        .select()
        .from(requestRecords)
        .where(
          and(
            eq(requestRecords.id, params.request),
            eq(requestRecords.organisationId, organisationOf(caller)),
          ),
        )
      if (row) return recordOf(row)
      throw new ProblemError('not-found', `There is no request ${params.request} in the log.`, {
        hint: 'Requests appear when they are answered, and are kept as long as the settings say.',
      })
    },
  },
})

const before = ([atMs, id]: readonly [number, string]): SQL | undefined =>
  or(
    lt(requestRecords.at, new Date(atMs)),
    and(eq(requestRecords.at, new Date(atMs)), lt(requestRecords.id, id)),
  )

function recordOf(row: typeof requestRecords.$inferSelect): RequestRecord {
  const { organisationId: _, userId: __, currency, costMicros, at, ...rest } = row
  // What was stored came in through the schema of the same record; the server checks the answer against it again.
  return { ...rest, at: at.toISOString(), cost: money(costMicros, currency) } as unknown as RequestRecord
}
