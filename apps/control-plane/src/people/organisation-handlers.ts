import { cursorFormat, type Handlers, type Organisation, type Routes, slugSchema } from '@deos/api'
import type { OrganisationId } from '@deos/domain'
import { and, asc, eq, gt } from 'drizzle-orm'
import type { Queries } from '../database/database.ts'
import { members, organisations } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import { found } from './founding.ts'
import { listing } from './listing.ts'
import type { PeopleParts } from './parts.ts'
import { conflict, notFound, userOf } from './people-error.ts'
import { toldEvent } from './told-events.ts'

interface OrganisationRow {
  readonly id: string
  readonly slug: string
  readonly name: string
  readonly createdAt: Date
}

export const shownOrganisation = ({ id, slug, name, createdAt }: OrganisationRow): Organisation => ({
  id: id as OrganisationId,
  slug,
  name,
  createdAt: createdAt.toISOString(),
})

const cursors = cursorFormat('organisations', slugSchema)

export const organisationHandlers = (parts: PeopleParts): Handlers<Routes, Caller>['organisations'] => {
  const { database, events, now, remainingOf } = parts
  return {
    async list({ query: { cursor, limit } }, caller) {
      const after = cursor === undefined ? undefined : gt(organisations.slug, cursors.decode(cursor))
      const rows = await database.queries
        .select({ organisation: organisations })
        .from(members)
        .innerJoin(organisations, eq(organisations.id, members.organisationId))
        .where(and(eq(members.userId, userOf(caller)), after))
        .orderBy(asc(organisations.slug))
        .limit(limit + 1)
      return listing(
        rows,
        limit,
        ({ organisation }) => shownOrganisation(organisation),
        ({ organisation }) => cursors.encode(organisation.slug),
      )
    },
    async create({ body }, caller) {
      const owner = userOf(caller)
      const founding = { ...body, owner, cause: caller.cause, at: now() }
      return shownOrganisation(await database.transaction((queries) => found(queries, founding, parts)))
    },
    async show(_request, caller) {
      return shownOrganisation(await organisationRow(database.queries, organisationOf(caller)))
    },
    async update({ body }, caller) {
      const organisation = organisationOf(caller)
      const { name } = body
      return database.transaction(async (queries) => {
        if (name === undefined) return shownOrganisation(await organisationRow(queries, organisation))
        const [row] = await queries
          .update(organisations)
          .set({ name })
          .where(eq(organisations.id, organisation))
          .returning()
        if (row === undefined) throw notFound('organisation')
        const circumstance = { organisation, cause: caller.cause, at: now() }
        await events.tell(queries, [toldEvent('settings.changed', { fields: ['name'] }, circumstance)])
        return shownOrganisation(row)
      })
    },
    async remove(_request, caller) {
      const organisation = organisationOf(caller)
      await database.transaction(async (queries) => {
        await organisationRow(queries, organisation, true)
        const { machines, deployments } = await remainingOf(queries, organisation)
        if (machines > 0 || deployments > 0) {
          throw conflict(
            'ORGANISATION_IN_USE',
            `The organisation still has ${machines} machines and ${deployments} deployments.`,
            'Remove them first.',
          )
        }
        await queries.delete(organisations).where(eq(organisations.id, organisation))
        await database.notify(queries, 'routing')
      })
      return undefined
    },
  }
}

/** @param locked - keeps others from changing it until the transaction is over */
async function organisationRow(
  queries: Queries,
  organisation: OrganisationId,
  locked = false,
): Promise<OrganisationRow> {
  const query = queries.select().from(organisations).where(eq(organisations.id, organisation))
  const [row] = await (locked ? query.for('update') : query)
  if (row === undefined) throw notFound('organisation')
  return row
}
