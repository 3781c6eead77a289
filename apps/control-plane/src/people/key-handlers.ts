import {
  type ApiKey,
  cursorFormat,
  type Handlers,
  type KeyId,
  type KeyScope,
  mayGrantScope,
  money,
  ProblemError,
  type Routes,
  type UserId,
} from '@deos/api'
import { type OrganisationId, projectId } from '@deos/domain'
import { and, desc, eq, gt, isNull, lt, or } from 'drizzle-orm'
import type { Queries } from '../database/database.ts'
import { apiKeys } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import { digestOf, newSecret, secretPrefixes, shownPrefix } from '../http/secrets.ts'
import { keyBudget } from '../observation/budgets.ts'
import { listing, momentPosition } from './listing.ts'
import type { PeopleParts } from './parts.ts'
import { conflict, invalid, notFound } from './people-error.ts'
import { firstProject, projectRow } from './project-handlers.ts'
import { checkBudget, currencyOf } from './settings-table.ts'
import { toldEvent } from './told-events.ts'

type KeyRow = typeof apiKeys.$inferSelect

const cursors = cursorFormat('keys', momentPosition)

export const keyHandlers = (parts: PeopleParts): Handlers<Routes, Caller>['keys'] => {
  const { database, events, ids, now } = parts
  const { queries: outside } = database

  const one = async (row: KeyRow, organisation: OrganisationId): Promise<ApiKey> => {
    const [shown] = await shownKeys(parts, [row], await currencyOf(outside, organisation))
    return shown!
  }

  return {
    async list({ query: { cursor, limit, project, all } }, caller) {
      const organisation = organisationOf(caller)
      const rows = await outside
        .select()
        .from(apiKeys)
        .where(
          and(
            ofOrganisation(organisation),
            project === undefined ? undefined : eq(apiKeys.projectId, project),
            all ? undefined : usableAt(now()),
            afterCursor(cursor),
          ),
        )
        .orderBy(desc(apiKeys.createdAt), desc(apiKeys.id))
        .limit(limit + 1)
      const page = listing(
        rows,
        limit,
        (row) => row,
        ({ createdAt, id }) => cursors.encode([createdAt.getTime(), id]),
      )
      return { ...page, items: await shownKeys(parts, page.items, await currencyOf(outside, organisation)) }
    },
    async create({ body }, caller) {
      const organisation = organisationOf(caller)
      checkScopes(caller, body.scopes)
      const at = now()
      checkEnd(body.expiresAt, at)
      const secret = newSecret(secretPrefixes.apiKey)
      const created = await database.transaction(async (queries) => {
        checkBudget(body.budget, await currencyOf(queries, organisation))
        const row: KeyRow = {
          id: ids.next('key'),
          organisationId: organisation,
          projectId: await projectOf(queries, organisation, body.projectId),
          userId: null,
          name: body.name,
          prefix: shownPrefix(secret),
          digest: digestOf(secret),
          scopes: [...body.scopes],
          budget: body.budget,
          rateLimit: body.rateLimit,
          createdBy: caller.userId,
          createdAt: at,
          expiresAt: body.expiresAt === null ? null : new Date(body.expiresAt),
          lastUsedAt: null,
          revokedAt: null,
        }
        await queries.insert(apiKeys).values(row)
        const circumstance = { organisation, cause: caller.cause, at }
        await events.tell(queries, [toldEvent('key.created', { keyId: row.id as KeyId }, circumstance)])
        await database.notify(queries, 'routing')
        return row
      })
      return { key: await one(created, organisation), secret }
    },
    async show({ params }, caller) {
      const organisation = organisationOf(caller)
      return one(await keyRow(outside, organisation, params.key), organisation)
    },
    async update({ params, body: { expiresAt, ...rest } }, caller) {
      const organisation = organisationOf(caller)
      const at = now()
      checkEnd(expiresAt, at)
      const changes = {
        ...rest,
        ...(expiresAt !== undefined && { expiresAt: expiresAt === null ? null : new Date(expiresAt) }),
      }
      const fields = Object.keys(changes)
      const updated = await database.transaction(async (queries) => {
        const before = await keyRow(queries, organisation, params.key, true)
        checkScopes(caller, before.scopes)
        if (before.revokedAt !== null) {
          throw conflict('KEY_REVOKED', 'The key was revoked, which is for good.', 'Create another one.')
        }
        checkBudget(rest.budget, await currencyOf(queries, organisation))
        if (fields.length === 0) return before
        const [after] = await queries
          .update(apiKeys)
          .set(changes)
          .where(eq(apiKeys.id, before.id))
          .returning()
        const data = { keyId: params.key, fields }
        await events.tell(queries, [
          toldEvent('key.updated', data, { organisation, cause: caller.cause, at }),
        ])
        await database.notify(queries, 'routing')
        return after!
      })
      return one(updated, organisation)
    },
    async revoke({ params }, caller) {
      const organisation = organisationOf(caller)
      await database.transaction(async (queries) => {
        const { id, revokedAt } = await keyRow(queries, organisation, params.key, true)
        if (revokedAt !== null) return
        const at = now()
        await queries.update(apiKeys).set({ revokedAt: at }).where(eq(apiKeys.id, id))
        const circumstance = { organisation, cause: caller.cause, at }
        await events.tell(queries, [toldEvent('key.revoked', { keyId: params.key }, circumstance)])
        await database.notify(queries, 'routing')
      })
      return undefined
    },
  }
}

/** Tokens of people who are signed in are no keys: nobody sees or changes them. */
const ofOrganisation = (organisation: OrganisationId) =>
  and(eq(apiKeys.organisationId, organisation), isNull(apiKeys.userId))

const usableAt = (at: Date) =>
  and(isNull(apiKeys.revokedAt), or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, at)))

function afterCursor(cursor: string | undefined) {
  if (cursor === undefined) return undefined
  const [ms, id] = cursors.decode(cursor)
  const at = new Date(ms)
  return or(lt(apiKeys.createdAt, at), and(eq(apiKeys.createdAt, at), lt(apiKeys.id, id)))
}

async function keyRow(
  queries: Queries,
  organisation: OrganisationId,
  id: string,
  locked = false,
): Promise<KeyRow> {
  const query = queries
    .select()
    .from(apiKeys)
    .where(and(ofOrganisation(organisation), eq(apiKeys.id, id)))
  const [row] = await (locked ? query.for('update') : query)
  if (row === undefined) throw notFound('key')
  return row
}

/** @throws ProblemError if the key may do what the caller may not: changing it would be as good as having it */
function checkScopes({ actor }: Caller, scopes: readonly KeyScope[]): void {
  const beyond = scopes.find((scope) => !mayGrantScope(actor, scope))
  if (beyond === undefined) return
  throw new ProblemError('forbidden', `A key with the scope ${beyond} may do more than you may.`, {
    hint: 'Leave the scope out, or ask an administrator.',
  })
}

function checkEnd(expiresAt: string | null | undefined, at: Date): void {
  if (expiresAt === null || expiresAt === undefined || new Date(expiresAt) > at) return
  throw invalid('expiresAt', 'must lie in the future; to end a key now, revoke it')
}

async function projectOf(
  queries: Queries,
  organisation: OrganisationId,
  wanted: string | undefined,
): Promise<string> {
  if (wanted === undefined) return (await firstProject(queries, organisation)).id
  try {
    return (await projectRow(queries, organisation, wanted, true)).id
  } catch (error) {
    if (error instanceof ProblemError) throw invalid('projectId', 'is no project of the organisation')
    throw error
  }
}

async function shownKeys(
  { spentOf }: PeopleParts,
  rows: readonly KeyRow[],
  currency: string,
): Promise<readonly ApiKey[]> {
  const limits = rows.map(({ id, budget }) => ({ budget: keyBudget(id), limit: budget }))
  const spent = await spentOf(limits, currency)
  return rows.map((row) => ({
    id: row.id as KeyId,
    name: row.name,
    prefix: row.prefix,
    scopes: row.scopes,
    projectId: projectId(row.projectId),
    budget: row.budget,
    rateLimit: row.rateLimit,
    spent: money(spent.get(keyBudget(row.id)) ?? 0n, currency),
    createdBy: row.createdBy as UserId | null,
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt?.toISOString() ?? null,
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    revokedAt: row.revokedAt?.toISOString() ?? null,
  }))
}
