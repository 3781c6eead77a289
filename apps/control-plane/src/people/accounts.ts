import { ProblemError, type UserId } from '@deos/api'
import type { IdSource } from '@deos/domain'
import type { Logger } from '@deos/service'
import { drizzleAdapter } from 'better-auth/adapters/drizzle'
import { isAPIError } from 'better-auth/api'
import { betterAuth } from 'better-auth/minimal'
import { eq } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import { isUniqueViolation } from '../database/errors.ts'
import { accounts, sessions, users, verifications } from '../database/schema/index.ts'
import { loggableError } from '../http/loggable-error.ts'

export interface AccountsOptions {
  /** Signs cookies; the same for all control planes of the installation. */
  readonly secret: string
  /** Cookies are marked as secure if people come by https. */
  readonly publicUrl: string
}

export interface AccountsParts {
  readonly database: Database
  readonly ids: IdSource
  readonly logger: Logger
}

export interface ValidSession {
  readonly userId: UserId
  readonly expiresAt: Date
  /** `set-cookie` headers that go with it. */
  readonly cookies: readonly string[]
}

export interface NewAccount {
  readonly name: string
  readonly email: string
  readonly password: string
}

const sessionDays = 14
const daySeconds = 86_400
const passwordLength = { min: 10, max: 128 }

const idPrefixes: Readonly<Record<string, string>> = {
  user: 'user',
  session: 'session',
  account: 'account',
  verification: 'verification',
}

/** Library code gets no HTTP routes of its own: all goes through the API's handlers. */
function createAuth({ secret, publicUrl }: AccountsOptions, { database, ids, logger }: AccountsParts) {
  return betterAuth({
    secret,
    baseURL: publicUrl,
    telemetry: { enabled: false },
    database: drizzleAdapter(database.queries, {
      provider: 'pg',
      schema: { user: users, session: sessions, account: accounts, verification: verifications },
      transaction: true,
    }),
    emailAndPassword: {
      enabled: true,
      disableSignUp: true,
      minPasswordLength: passwordLength.min,
      maxPasswordLength: passwordLength.max,
    },
    session: { expiresIn: sessionDays * daySeconds, updateAge: daySeconds },
    // Limits are the server's own: the library would count by headers that anyone can write.
    rateLimit: { enabled: false },
    advanced: {
      cookiePrefix: 'deos',
      useSecureCookies: publicUrl.startsWith('https:'),
      ipAddress: { disableIpTracking: true },
      database: { generateId: ({ model }) => ids.next(idPrefixes[model] ?? model) },
    },
    logger: {
      log: (level, message, ...details) => {
        // A wrong password is no news; what is attached to messages may hold anything.
        if (level !== 'error') return
        const error = details.find((detail) => detail instanceof Error)
        logger.error({ err: error && loggableError(error) }, message)
      },
    },
  })
}

/** Accounts of people and their sessions. */
export class Accounts {
  readonly #auth: ReturnType<typeof createAuth>
  readonly #database: Database
  readonly #ids: IdSource

  constructor(options: AccountsOptions, parts: AccountsParts) {
    this.#auth = createAuth(options, parts)
    this.#database = parts.database
    this.#ids = parts.ids
  }

  /** Slow on purpose; to be done before a transaction begins. */
  async hash(password: string): Promise<string> {
    const context = await this.#auth.$context
    return context.password.hash(password)
  }

  /**
   * @param passwordHash - of {@link hash}
   * @throws ProblemError if the e-mail has an account
   */
  async create(
    queries: Queries,
    { name, email }: Omit<NewAccount, 'password'>,
    passwordHash: string,
    at: Date,
  ): Promise<UserId> {
    const id = this.#ids.next('user')
    const times = { createdAt: at, updatedAt: at }
    await queries
      .insert(users)
      .values({ id, name, email: email.toLowerCase(), ...times })
      .catch((error: unknown) => {
        if (!isUniqueViolation(error)) throw error
        throw new ProblemError('conflict', 'There is an account with this e-mail already.', {
          code: 'EMAIL_TAKEN',
          hint: 'Sign in with it.',
        })
      })
    await queries.insert(accounts).values({
      id: this.#ids.next('account'),
      accountId: id,
      providerId: 'credential',
      userId: id,
      password: passwordHash,
      ...times,
    })
    return id as UserId
  }

  /** @returns null if e-mail or password is wrong; it takes as long to say which as not to say it */
  async signIn(email: string, password: string): Promise<ValidSession | null> {
    try {
      const { headers, response } = await this.#auth.api.signInEmail({
        body: { email, password },
        returnHeaders: true,
      })
      return await this.#begun(response.token, response.user.id, headers)
    } catch (error) {
      if (isAPIError(error) && error.statusCode < 500) return null
      throw error
    }
  }

  /** @param cookie - the header as it came; null if it holds no valid session */
  async sessionOf(cookie: string): Promise<ValidSession | null> {
    const { headers, response } = await this.#auth.api.getSession({
      headers: new Headers({ cookie }),
      returnHeaders: true,
    })
    if (response === null) return null
    const { user, session } = response
    return { userId: user.id as UserId, expiresAt: session.expiresAt, cookies: headers.getSetCookie() }
  }

  /** @returns `set-cookie` headers that make the browser forget the session */
  async signOut(cookie: string): Promise<readonly string[]> {
    const { headers } = await this.#auth.api.signOut({
      headers: new Headers({ cookie }),
      returnHeaders: true,
    })
    return headers.getSetCookie()
  }

  /**
   * Changes the password and ends all sessions but a new one.
   *
   * @returns null if the present password is wrong
   */
  async changePassword(cookie: string, current: string, next: string): Promise<readonly string[] | null> {
    try {
      const { headers } = await this.#auth.api.changePassword({
        body: { currentPassword: current, newPassword: next, revokeOtherSessions: true },
        headers: new Headers({ cookie }),
        returnHeaders: true,
      })
      return headers.getSetCookie()
    } catch (error) {
      if (isAPIError(error) && error.statusCode < 500) return null
      throw error
    }
  }

  async #begun(token: string, userId: string, headers: Headers): Promise<ValidSession> {
    const [session] = await this.#database.queries
      .select({ expiresAt: sessions.expiresAt })
      .from(sessions)
      .where(eq(sessions.token, token))
    if (session === undefined) throw new Error('A session was begun and is not there.')
    return { userId: userId as UserId, expiresAt: session.expiresAt, cookies: headers.getSetCookie() }
  }
}
