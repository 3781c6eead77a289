import {
  cursorFormat,
  type Handlers,
  type KeyId,
  money,
  type Project,
  type Routes,
  slugSchema,
} from '@deos/api'
import { type OrganisationId, organisationId, projectId } from '@deos/domain'
import { and, asc, count, eq, gt, inArray, isNull, ne } from 'drizzle-orm'
import type { Queries } from '../database/database.ts'
import { isUniqueViolation } from '../database/errors.ts'
import { apiKeys, deploymentDetails, projects } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import { projectBudget } from '../observation/budgets.ts'
import { listing } from './listing.ts'
import type { PeopleParts } from './parts.ts'
import { conflict, notFound } from './people-error.ts'
import { checkBudget, currencyOf } from './settings-table.ts'
import { toldEvent } from './told-events.ts'

type ProjectRow = typeof projects.$inferSelect

const cursors = cursorFormat('projects', slugSchema)

export const projectHandlers = (parts: PeopleParts): Handlers<Routes, Caller>['projects'] => {
  const { database, events, ids, now } = parts
  const { queries: outside } = database

  const one = async (row: ProjectRow, organisation: OrganisationId): Promise<Project> => {
    const [shown] = await shownProjects(parts, [row], await currencyOf(outside, organisation))
    return shown!
  }

  return {
    async list({ query: { cursor, limit, name } }, caller) {
      const organisation = organisationOf(caller)
      const rows = await outside
        .select()
        .from(projects)
        .where(
          and(
            ofOrganisation(organisation),
            name === undefined ? undefined : eq(projects.name, name),
            cursor === undefined ? undefined : gt(projects.name, cursors.decode(cursor)),
          ),
        )
        .orderBy(asc(projects.name))
        .limit(limit + 1)
      const page = listing(
        rows,
        limit,
        (row) => row,
        ({ name: last }) => cursors.encode(last),
      )
      const items = await shownProjects(parts, page.items, await currencyOf(outside, organisation))
      return { ...page, items }
    },
    async create({ body }, caller) {
      const organisation = organisationOf(caller)
      const at = now()
      const created = await database.transaction(async (queries) => {
        checkBudget(body.budget, await currencyOf(queries, organisation))
        const row: ProjectRow = {
          id: ids.next('project'),
          organisationId: organisation,
          name: body.name,
          title: body.title ?? body.name,
          budget: body.budget,
          rateLimit: body.rateLimit,
          createdAt: at,
          removedAt: null,
        }
        await queries
          .insert(projects)
          .values(row)
          .catch((error: unknown) => {
            throw isUniqueViolation(error) ? nameTaken(body.name) : error
          })
        const circumstance = { organisation, cause: caller.cause, at }
        const event = toldEvent('project.created', { projectId: projectId(row.id) }, circumstance)
        await events.tell(queries, [event])
        return row
      })
      return one(created, organisation)
    },
    async show({ params }, caller) {
      const organisation = organisationOf(caller)
      return one(await projectRow(outside, organisation, params.project), organisation)
    },
    async update({ params, body }, caller) {
      const organisation = organisationOf(caller)
      const fields = Object.keys(body)
      const updated = await database.transaction(async (queries) => {
        const before = await projectRow(queries, organisation, params.project, true)
        checkBudget(body.budget, await currencyOf(queries, organisation))
        if (fields.length === 0) return before
        const [after] = await queries.update(projects).set(body).where(eq(projects.id, before.id)).returning()
        const circumstance = { organisation, cause: caller.cause, at: now() }
        const data = { projectId: projectId(before.id), fields }
        await events.tell(queries, [toldEvent('project.updated', data, circumstance)])
        await database.notify(queries, 'routing')
        return after!
      })
      return one(updated, organisation)
    },
    async remove({ params }, caller) {
      const organisation = organisationOf(caller)
      await database.transaction(async (queries) => {
        const { id } = await projectRow(queries, organisation, params.project, true)
        await checkRemovable(queries, organisation, id)
        const at = now()
        await queries.update(projects).set({ removedAt: at }).where(eq(projects.id, id))
        const revoked = await queries
          .update(apiKeys)
          .set({ revokedAt: at })
          .where(and(eq(apiKeys.projectId, id), isNull(apiKeys.revokedAt)))
          .returning({ id: apiKeys.id, userId: apiKeys.userId })
        const circumstance = { organisation, cause: caller.cause, at }
        const keys = revoked.filter(({ userId }) => userId === null)
        await events.tell(queries, [
          toldEvent('project.removed', { projectId: projectId(id) }, circumstance),
          ...keys.map((key) => toldEvent('key.revoked', { keyId: key.id as KeyId }, circumstance)),
        ])
        await database.notify(queries, 'routing')
      })
      return undefined
    },
  }
}

const nameTaken = (name: string) =>
  conflict('NAME_TAKEN', `There is a project named ${name} already.`, 'Choose another name.')

const ofOrganisation = (organisation: OrganisationId) =>
  and(eq(projects.organisationId, organisation), isNull(projects.removedAt))

/** @throws ProblemError if the organisation has no such project */
export async function projectRow(
  queries: Queries,
  organisation: OrganisationId,
  id: string,
  locked = false,
): Promise<ProjectRow> {
  const query = queries
    .select()
    .from(projects)
    .where(and(ofOrganisation(organisation), eq(projects.id, id)))
  const [row] = await (locked ? query.for('update') : query)
  if (row === undefined) throw notFound('project')
  return row
}

/** Where keys belong that name no project: the oldest. */
export async function firstProject(queries: Queries, organisation: OrganisationId): Promise<ProjectRow> {
  const [row] = await queries
    .select()
    .from(projects)
    .where(ofOrganisation(organisation))
    .orderBy(asc(projects.createdAt), asc(projects.id))
    .limit(1)
  if (row === undefined) throw new Error(`Organisation ${organisation} has no project.`)
  return row
}

async function checkRemovable(queries: Queries, organisation: OrganisationId, id: string): Promise<void> {
  const [deployed] = await queries
    .select({ count: count() })
    .from(deploymentDetails)
    .where(and(eq(deploymentDetails.projectId, id), isNull(deploymentDetails.removedAt)))
  if (deployed!.count > 0) {
    throw conflict('PROJECT_IN_USE', `The project has ${deployed!.count} deployments.`, 'Remove them first.')
  }
  // Whoever removes another one at the same time waits here, and then finds one fewer.
  const others = await queries
    .select({ id: projects.id })
    .from(projects)
    .where(and(ofOrganisation(organisation), ne(projects.id, id)))
    .for('update')
  if (others.length === 0) {
    throw conflict('LAST_PROJECT', 'This is the only project.', 'Create another one first.')
  }
}

async function shownProjects(
  { database: { queries }, spentOf }: PeopleParts,
  rows: readonly ProjectRow[],
  currency: string,
): Promise<readonly Project[]> {
  const ids = rows.map(({ id }) => id)
  const [keys, deployed, spent] = await Promise.all([
    queries
      .select({ project: apiKeys.projectId, count: count() })
      .from(apiKeys)
      .where(and(inArray(apiKeys.projectId, ids), isNull(apiKeys.revokedAt), isNull(apiKeys.userId)))
      .groupBy(apiKeys.projectId),
    queries
      .select({ project: deploymentDetails.projectId, count: count() })
      .from(deploymentDetails)
      .where(and(inArray(deploymentDetails.projectId, ids), isNull(deploymentDetails.removedAt)))
      .groupBy(deploymentDetails.projectId),
    spentOf(
      rows.map(({ id, budget }) => ({ budget: projectBudget(id), limit: budget })),
      currency,
    ),
  ])
  const keysOf = new Map(keys.map((row) => [row.project, row.count]))
  const deployedTo = new Map(deployed.map((row) => [row.project, row.count]))
  return rows.map((row) => ({
    id: projectId(row.id),
    organisationId: organisationId(row.organisationId),
    name: row.name,
    title: row.title,
    budget: row.budget,
    rateLimit: row.rateLimit,
    spent: money(spent.get(projectBudget(row.id)) ?? 0n, currency),
    deployments: deployedTo.get(row.id) ?? 0,
    keys: keysOf.get(row.id) ?? 0,
    createdAt: row.createdAt.toISOString(),
  }))
}
