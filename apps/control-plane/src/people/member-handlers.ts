import {
  cursorFormat,
  type Handlers,
  type Member,
  mayGrantRole,
  ProblemError,
  type Role,
  type Routes,
  type UserId,
} from '@deos/api'
import type { OrganisationId } from '@deos/domain'
import { and, asc, eq, gt, isNull, or } from 'drizzle-orm'
import type { Queries } from '../database/database.ts'
import { apiKeys, members, users } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import { listing, momentPosition } from './listing.ts'
import type { PeopleParts } from './parts.ts'
import { conflict, notFound } from './people-error.ts'
import { toldEvent } from './told-events.ts'

interface MemberRow {
  readonly member: typeof members.$inferSelect
  readonly user: { readonly name: string; readonly email: string }
}

const cursors = cursorFormat('members', momentPosition)

const shownMember = ({ member, user }: MemberRow): Member => ({
  userId: member.userId as UserId,
  name: user.name,
  email: user.email,
  role: member.role as Role,
  joinedAt: member.joinedAt.toISOString(),
  lastSeenAt: member.lastSeenAt?.toISOString() ?? null,
})

const memberRows = (queries: Queries) =>
  queries
    .select({ member: members, user: { name: users.name, email: users.email } })
    .from(members)
    .innerJoin(users, eq(users.id, members.userId))

export const memberHandlers = ({
  database,
  events,
  now,
}: PeopleParts): Handlers<Routes, Caller>['members'] => ({
  async list({ query: { cursor, limit } }, caller) {
    const rows = await memberRows(database.queries)
      .where(and(eq(members.organisationId, organisationOf(caller)), afterCursor(cursor)))
      .orderBy(asc(members.joinedAt), asc(members.userId))
      .limit(limit + 1)
    return listing(rows, limit, shownMember, ({ member }) =>
      cursors.encode([member.joinedAt.getTime(), member.userId]),
    )
  },
  async update({ params, body: { role } }, caller) {
    const organisation = organisationOf(caller)
    return database.transaction(async (queries) => {
      const row = await lockedMember(queries, organisation, params.user)
      checkGrant(caller, row.member.role as Role, role)
      if (row.member.role === role) return shownMember(row)
      await checkOwnerStays(queries, row)
      await queries.update(members).set({ role }).where(isMember(organisation, params.user))
      await endTokens(queries, organisation, params.user, now())
      const circumstance = { organisation, cause: caller.cause, at: now() }
      const data = { userId: params.user, role }
      await events.tell(queries, [toldEvent('member.role-changed', data, circumstance)])
      await database.notify(queries, 'routing')
      return shownMember({ ...row, member: { ...row.member, role } })
    })
  },
  async remove({ params }, caller) {
    const organisation = organisationOf(caller)
    await database.transaction(async (queries) => {
      const row = await lockedMember(queries, organisation, params.user)
      checkGrant(caller, row.member.role as Role)
      await checkOwnerStays(queries, row)
      await queries.delete(members).where(isMember(organisation, params.user))
      await endTokens(queries, organisation, params.user, now())
      const circumstance = { organisation, cause: caller.cause, at: now() }
      await events.tell(queries, [toldEvent('member.removed', { userId: params.user }, circumstance)])
      await database.notify(queries, 'routing')
    })
    return undefined
  },
})

function afterCursor(cursor: string | undefined) {
  if (cursor === undefined) return undefined
  const [ms, userId] = cursors.decode(cursor)
  const at = new Date(ms)
  return or(gt(members.joinedAt, at), and(eq(members.joinedAt, at), gt(members.userId, userId)))
}

const isMember = (organisation: OrganisationId, user: string) =>
  and(eq(members.organisationId, organisation), eq(members.userId, user))

async function lockedMember(
  queries: Queries,
  organisation: OrganisationId,
  user: UserId,
): Promise<MemberRow> {
  const [row] = await memberRows(queries).where(isMember(organisation, user)).for('update', { of: members })
  if (row === undefined) throw notFound('member')
  return row
}

/** @throws ProblemError if the caller may neither give one of the roles nor take it away */
function checkGrant({ actor }: Caller, ...roles: readonly Role[]): void {
  if (roles.every((role) => mayGrantRole(actor, role))) return
  throw new ProblemError('forbidden', 'Only owners make and unmake owners.', { hint: 'Ask an owner.' })
}

/** @throws ProblemError if nobody else is an owner; others who unmake owners wait for the transaction */
async function checkOwnerStays(queries: Queries, { member }: MemberRow): Promise<void> {
  if (member.role !== 'owner') return
  const owners = await queries
    .select({ userId: members.userId })
    .from(members)
    .where(and(eq(members.organisationId, member.organisationId), eq(members.role, 'owner')))
    .orderBy(asc(members.userId))
    .for('update')
  if (owners.some(({ userId }) => userId !== member.userId)) return
  throw conflict('LAST_OWNER', 'This is the only owner.', 'Make somebody else an owner first.')
}

/** Tokens with which a person uses models end with the role that they were given for. */
async function endTokens(
  queries: Queries,
  organisation: OrganisationId,
  user: UserId,
  at: Date,
): Promise<void> {
  await queries
    .update(apiKeys)
    .set({ revokedAt: at })
    .where(and(eq(apiKeys.organisationId, organisation), eq(apiKeys.userId, user), isNull(apiKeys.revokedAt)))
}
