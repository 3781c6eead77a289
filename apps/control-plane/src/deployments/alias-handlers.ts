import { cursorFormat, type Handlers, ProblemError, type Routes } from '@deos/api'
import type { DeploymentId } from '@deos/domain'
import { and, asc, eq, gt } from 'drizzle-orm'
import { z } from 'zod'
import type { Database } from '../database/database.ts'
import { aliases } from '../database/schema/index.ts'
import type { EventStore } from '../events/event-store.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import { listing } from '../people/listing.ts'
import { toldEvent } from '../people/told-events.ts'
import type { DeploymentWishes } from './deployment-wishes.ts'
import { lockServedNames, refuseServed } from './served-names.ts'

export interface AliasHandlerParts {
  readonly wishes: DeploymentWishes
  readonly database: Database
  readonly events: Pick<EventStore, 'tell'>
  readonly now: () => Date
}

const cursors = cursorFormat('aliases', z.string())

const aliasAnswer = ({ name, deploymentId, updatedAt }: typeof aliases.$inferSelect) => ({
  name,
  deploymentId: deploymentId as DeploymentId,
  updatedAt: updatedAt.toISOString(),
})

export const aliasHandlers = ({
  wishes,
  database,
  events,
  now,
}: AliasHandlerParts): Pick<Handlers<Routes, Caller>, 'aliases'> => ({
  aliases: {
    async list({ query: { cursor, limit } }, caller) {
      const rows = await database.queries
        .select()
        .from(aliases)
        .where(
          and(
            eq(aliases.organisationId, organisationOf(caller)),
            cursor === undefined ? undefined : gt(aliases.name, cursors.decode(cursor)),
          ),
        )
        .orderBy(asc(aliases.name))
        .limit(limit + 1)
      return listing(rows, limit, aliasAnswer, ({ name }) => cursors.encode(name))
    },
    async set({ params: { alias }, body }, caller) {
      const { id: deploymentId, name, removing } = await wishes.of(body.deploymentId, caller)
      if (removing !== null) throw new ProblemError('conflict', `${name} is being removed.`)
      const organisation = organisationOf(caller)
      const at = now()
      const row = { organisationId: organisation, name: alias, deploymentId, updatedAt: at }
      await database.transaction(async (queries) => {
        await lockServedNames(queries)
        await refuseServed(queries, organisation, alias)
        await queries
          .insert(aliases)
          .values(row)
          .onConflictDoUpdate({
            target: [aliases.organisationId, aliases.name],
            set: { deploymentId, updatedAt: at },
          })
        await database.notify(queries, 'routing')
        const about = { organisation, cause: caller.cause, at }
        await events.tell(queries, [toldEvent('alias.set', { deploymentId, alias }, about)])
      })
      return aliasAnswer(row)
    },
    async remove({ params: { alias } }, caller) {
      const organisation = organisationOf(caller)
      await database.transaction(async (queries) => {
        const removed = await queries
          .delete(aliases)
          .where(and(eq(aliases.organisationId, organisation), eq(aliases.name, alias)))
          .returning({ name: aliases.name })
        if (removed.length === 0) throw new ProblemError('not-found', `There is no alias ${alias}.`)
        await database.notify(queries, 'routing')
        const about = { organisation, cause: caller.cause, at: now() }
        await events.tell(queries, [toldEvent('alias.removed', { alias }, about)])
      })
      return undefined
    },
  },
})
