import {
  cursorFormat,
  type Handlers,
  type Invitation,
  type InvitationId,
  mayGrantRole,
  ProblemError,
  type Role,
  type Routes,
  type UserId,
} from '@deos/api'
import { and, desc, eq, gt, isNotNull, isNull, lt, lte, or, type SQL } from 'drizzle-orm'
import type { Queries } from '../database/database.ts'
import { invitations, members, users } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import { digestOf, newSecret, secretPrefixes } from '../http/secrets.ts'
import { listing, momentPosition } from './listing.ts'
import type { PeopleParts } from './parts.ts'
import { conflict, notFound, userOf } from './people-error.ts'
import { toldEvent } from './told-events.ts'

type InvitationRow = typeof invitations.$inferSelect
type State = Invitation['state']

const dayMs = 86_400_000
const cursors = cursorFormat('invitations', momentPosition)

function stateAt({ acceptedAt, revokedAt, expiresAt }: InvitationRow, at: Date): State {
  if (acceptedAt !== null) return 'accepted'
  if (revokedAt !== null) return 'revoked'
  return expiresAt <= at ? 'expired' : 'pending'
}

function isInState(state: State, at: Date): SQL | undefined {
  const { acceptedAt, revokedAt, expiresAt } = invitations
  const open = and(isNull(acceptedAt), isNull(revokedAt))
  switch (state) {
    case 'accepted':
      return isNotNull(acceptedAt)
    case 'revoked':
      return and(isNull(acceptedAt), isNotNull(revokedAt))
    case 'expired':
      return and(open, lte(expiresAt, at))
    case 'pending':
      return and(open, gt(expiresAt, at))
  }
}

const shownInvitation = (row: InvitationRow, at: Date): Invitation => ({
  id: row.id as InvitationId,
  email: row.email,
  role: row.role as Role,
  state: stateAt(row, at),
  invitedBy: row.invitedBy as UserId,
  createdAt: row.createdAt.toISOString(),
  expiresAt: row.expiresAt.toISOString(),
})

export const invitationHandlers = ({
  database,
  events,
  ids,
  links,
  now,
}: PeopleParts): Handlers<Routes, Caller>['invitations'] => ({
  async list({ query: { cursor, limit, state } }, caller) {
    const at = now()
    const rows = await database.queries
      .select()
      .from(invitations)
      .where(
        and(
          eq(invitations.organisationId, organisationOf(caller)),
          state === undefined ? undefined : or(...state.map((wanted) => isInState(wanted, at))),
          afterCursor(cursor),
        ),
      )
      .orderBy(desc(invitations.createdAt), desc(invitations.id))
      .limit(limit + 1)
    return listing(
      rows,
      limit,
      (row) => shownInvitation(row, at),
      ({ createdAt, id }) => cursors.encode([createdAt.getTime(), id]),
    )
  },
  async create({ body: { email, role, validDays } }, caller) {
    const organisation = organisationOf(caller)
    if (!mayGrantRole(caller.actor, role)) {
      throw new ProblemError('forbidden', `You may not invite somebody as ${role}.`, {
        hint: 'Ask an owner.',
      })
    }
    const at = now()
    const token = newSecret(secretPrefixes.invitation)
    const row: InvitationRow = {
      id: ids.next('invitation'),
      organisationId: organisation,
      email,
      role,
      tokenDigest: digestOf(token),
      invitedBy: userOf(caller),
      createdAt: at,
      expiresAt: new Date(at.getTime() + validDays * dayMs),
      acceptedAt: null,
      revokedAt: null,
    }
    await database.transaction(async (queries) => {
      await checkUninvited(queries, row)
      await queries.insert(invitations).values(row)
      const data = { invitationId: row.id as InvitationId, role }
      await events.tell(queries, [
        toldEvent('invitation.created', data, { organisation, cause: caller.cause, at }),
      ])
    })
    return { invitation: shownInvitation(row, at), link: links.invitation(token) }
  },
  async revoke({ params: { invitation } }, caller) {
    const organisation = organisationOf(caller)
    await database.transaction(async (queries) => {
      const [row] = await queries
        .select()
        .from(invitations)
        .where(and(eq(invitations.organisationId, organisation), eq(invitations.id, invitation)))
        .for('update')
      if (row === undefined) throw notFound('invitation')
      if (row.acceptedAt !== null) {
        throw conflict('INVITATION_ACCEPTED', 'The invitation was accepted already.', 'Remove the member.')
      }
      if (row.revokedAt !== null) return
      const at = now()
      await queries.update(invitations).set({ revokedAt: at }).where(eq(invitations.id, row.id))
      const data = { invitationId: invitation }
      await events.tell(queries, [
        toldEvent('invitation.revoked', data, { organisation, cause: caller.cause, at }),
      ])
    })
    return undefined
  },
})

function afterCursor(cursor: string | undefined): SQL | undefined {
  if (cursor === undefined) return undefined
  const [ms, id] = cursors.decode(cursor)
  const at = new Date(ms)
  return or(lt(invitations.createdAt, at), and(eq(invitations.createdAt, at), lt(invitations.id, id)))
}

/** @throws ProblemError if the person is a member already, or was invited and may still come */
async function checkUninvited(queries: Queries, { organisationId, email, createdAt }: InvitationRow) {
  const [member] = await queries
    .select({ id: users.id })
    .from(members)
    .innerJoin(users, eq(users.id, members.userId))
    .where(and(eq(members.organisationId, organisationId), eq(users.email, email)))
  if (member !== undefined) {
    throw conflict('ALREADY_MEMBER', `${email} is a member already.`, 'Change the role instead.')
  }
  const [pending] = await queries
    .select({ id: invitations.id })
    .from(invitations)
    .where(
      and(
        eq(invitations.organisationId, organisationId),
        eq(invitations.email, email),
        isInState('pending', createdAt),
      ),
    )
  if (pending !== undefined) {
    throw conflict('ALREADY_INVITED', `${email} is invited already.`, 'Revoke that invitation first.')
  }
}

/**
 * Makes whoever has the token a member. Who is one already stays in the role they have.
 *
 * @param person - makes or names the account
 * @throws ProblemError if the invitation is unknown, used, revoked or expired; all of them look the same
 */
export async function acceptInvitation(
  queries: Queries,
  token: string,
  person: (email: string) => Promise<UserId>,
  at: Date,
): Promise<{ readonly row: InvitationRow; readonly userId: UserId; readonly joined: boolean }> {
  const [row] = await queries
    .update(invitations)
    .set({ acceptedAt: at })
    .where(and(eq(invitations.tokenDigest, digestOf(token)), isInState('pending', at)))
    .returning()
  if (row === undefined) {
    throw new ProblemError('gone', 'The invitation is not valid any more.', {
      hint: 'Ask for a new one; each link works once and for a limited time.',
    })
  }
  const userId = await person(row.email)
  const joined = await queries
    .insert(members)
    .values({ organisationId: row.organisationId, userId, role: row.role, joinedAt: at })
    .onConflictDoNothing()
    .returning({ userId: members.userId })
  return { row, userId, joined: joined.length > 0 }
}
