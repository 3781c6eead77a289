import { type Handlers, ProblemError, type Role, type Routes, type Session, type UserId } from '@deos/api'
import { organisationId } from '@deos/domain'
import { and, eq, isNotNull, lt } from 'drizzle-orm'
import { apiKeys, users } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import { digestOf, newSecret, secretPrefixes, shownPrefix } from '../http/secrets.ts'
import type { ValidSession } from './accounts.ts'
import { unlimited } from './founding.ts'
import { acceptInvitation } from './invitation-handlers.ts'
import { shownOrganisation } from './organisation-handlers.ts'
import type { PeopleParts } from './parts.ts'
import { invalid, userOf } from './people-error.ts'
import { firstProject } from './project-handlers.ts'
import { toldEvent } from './told-events.ts'

const inferenceTokenMs = 15 * 60_000

const cookieOf = ({ headers: { cookie } }: Caller): string => (typeof cookie === 'string' ? cookie : '')

const pass = (cookies: readonly string[], caller: Caller): void => {
  for (const cookie of cookies) caller.addHeader('set-cookie', cookie)
}

const wrongPassword = (): ProblemError =>
  new ProblemError('unauthenticated', 'E-mail or password is wrong.', {
    code: 'WRONG_PASSWORD',
    hint: 'Check both and try again.',
  })

const accountNeeded = (email: string): ProblemError =>
  new ProblemError('unauthenticated', `${email} needs an account, or has one that is not signed in.`, {
    code: 'ACCOUNT_NEEDED',
    hint: 'Sign in first if you have an account; otherwise send a name and a password for a new one.',
  })

export const sessionHandlers = (parts: PeopleParts): Handlers<Routes, Caller>['session'] => {
  const { database, accounts, events, ids, limits, memberships, now, setup } = parts

  const shown = async (userId: UserId | null, expiresAt: Date | null): Promise<Session> => {
    const [user] =
      userId === null ? [] : await database.queries.select().from(users).where(eq(users.id, userId))
    if (userId === null || user === undefined) {
      return { user: null, memberships: [], expiresAt: null, setupNeeded: await setup.isNeeded() }
    }
    const own = await memberships.of(userId)
    return {
      user: { id: userId, name: user.name, email: user.email, createdAt: user.createdAt.toISOString() },
      memberships: own.map(({ organisation, role, ...rest }) => ({
        organisation: shownOrganisation({ id: organisation, ...rest }),
        role,
      })),
      expiresAt: expiresAt?.toISOString() ?? null,
      setupNeeded: false,
    }
  }

  const begin = async (session: ValidSession | null, caller: Caller): Promise<Session> => {
    if (session === null) throw wrongPassword()
    pass(session.cookies, caller)
    return shown(session.userId, session.expiresAt)
  }

  return {
    version: () => parts.version(),

    async show(_request, caller) {
      // Whether the cookie counts has been decided: then the person is known.
      const session = caller.userId === null ? null : await accounts.sessionOf(cookieOf(caller))
      return shown(session?.userId ?? null, session?.expiresAt ?? null)
    },

    async signIn({ body: { email, password } }, caller) {
      await limits.take(caller.address, email)
      const session = await begin(await accounts.signIn(email, password), caller)
      await limits.succeeded(email)
      return session
    },

    async signOut(_request, caller) {
      if (caller.userId !== null) pass(await accounts.signOut(cookieOf(caller)), caller)
      return undefined
    },

    async setUp({ body: { token, ...owner } }, caller) {
      await limits.take(caller.address, 'setup')
      await setup.claim(token, owner)
      return begin(await accounts.signIn(owner.email, owner.password), caller)
    },

    async acceptInvitation({ body: { token, account } }, caller) {
      await limits.take(caller.address, token)
      const passwordHash = account === null ? null : await accounts.hash(account.password)
      const at = now()
      const { row, userId } = await database.transaction(async (queries) => {
        const person = async (email: string): Promise<UserId> => {
          if (caller.userId !== null) return caller.userId
          const known = await queries.select({ id: users.id }).from(users).where(eq(users.email, email))
          if (account === null || passwordHash === null || known.length > 0) throw accountNeeded(email)
          return accounts.create(queries, { name: account.name, email }, passwordHash, at)
        }
        const accepted = await acceptInvitation(queries, token, person, at)
        const circumstance = {
          organisation: organisationId(accepted.row.organisationId),
          cause: { kind: 'user', id: accepted.userId },
          at,
        } as const
        const data = { userId: accepted.userId, role: accepted.row.role as Role }
        if (accepted.joined) await events.tell(queries, [toldEvent('member.joined', data, circumstance)])
        return accepted
      })
      if (caller.userId === null && account !== null) {
        return begin(await accounts.signIn(row.email, account.password), caller)
      }
      const session = await accounts.sessionOf(cookieOf(caller))
      return shown(userId, session?.expiresAt ?? null)
    },

    async inferenceToken(_request, caller) {
      const organisation = organisationOf(caller)
      const userId = userOf(caller)
      const token = newSecret(secretPrefixes.inferenceToken)
      const at = now()
      const expiresAt = new Date(at.getTime() + inferenceTokenMs)
      await database.transaction(async (queries) => {
        await queries
          .delete(apiKeys)
          .where(and(eq(apiKeys.userId, userId), isNotNull(apiKeys.expiresAt), lt(apiKeys.expiresAt, at)))
        await queries.insert(apiKeys).values({
          id: ids.next('token'),
          organisationId: organisation,
          projectId: (await firstProject(queries, organisation)).id,
          userId,
          name: 'Playground',
          prefix: shownPrefix(token),
          digest: digestOf(token),
          scopes: ['inference'],
          rateLimit: unlimited,
          createdBy: userId,
          createdAt: at,
          expiresAt,
        })
      })
      return { token, expiresAt: expiresAt.toISOString() }
    },

    async changePassword({ body: { current, next } }, caller) {
      const userId = userOf(caller)
      await limits.take(caller.address, userId)
      const cookies = await accounts.changePassword(cookieOf(caller), current, next)
      if (cookies === null) throw invalid('current', 'is not your present password')
      await limits.succeeded(userId)
      pass(cookies, caller)
      return undefined
    },
  }
}
