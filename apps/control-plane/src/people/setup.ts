import { ProblemError, type UserId } from '@deos/api'
import type { IdSource } from '@deos/domain'
import { desc, eq, inArray, sql } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import { users, verifications } from '../database/schema/index.ts'
import { digestOf, newSecret, secretPrefixes } from '../http/secrets.ts'
import type { Accounts, NewAccount } from './accounts.ts'
import { adoptOrphan, type FoundedOrganisation, found, freeSlug } from './founding.ts'
import type { Links } from './links.ts'
import type { EventTeller } from './told-events.ts'

export interface SetupParts {
  readonly database: Database
  readonly accounts: Accounts
  readonly events: EventTeller
  readonly links: Links
  readonly ids: IdSource
  readonly now: () => Date
}

/** The first owner, or one that is made without a browser. */
export interface NewOwner extends NewAccount {
  readonly organisation: string
}

export interface Owner {
  readonly userId: UserId
  readonly organisation: FoundedOrganisation
}

const identifier = 'setup'
/** Each start prints a link of its own; older ones stay valid, as another process may have printed them. */
const validTokens = 16
/** In effect until the first owner is there. */
const validYears = 100

/** The first start: whoever has the link that it prints becomes the first owner. */
export class Setup {
  readonly #parts: SetupParts
  #isDone = false

  constructor(parts: SetupParts) {
    this.#parts = parts
  }

  /** Whether nobody has an account yet. */
  async isNeeded(): Promise<boolean> {
    if (this.#isDone) return false
    const found = await this.#parts.database.queries.select({ id: users.id }).from(users).limit(1)
    this.#isDone = found.length > 0
    return !this.#isDone
  }

  /** A new link for the first owner, to be shown to the operator; null if there is an owner. */
  async ensureSetup(): Promise<{ readonly token: string; readonly link: string } | null> {
    if (!(await this.isNeeded())) return null
    const { database, ids, now, links } = this.#parts
    const token = newSecret(secretPrefixes.setup)
    const at = now()
    const expiresAt = new Date(at)
    expiresAt.setUTCFullYear(at.getUTCFullYear() + validYears)
    await database.transaction(async (queries) => {
      await queries.insert(verifications).values({
        id: ids.next('verification'),
        identifier,
        value: digestOf(token),
        expiresAt,
        createdAt: at,
        updatedAt: at,
      })
      const old = await queries
        .select({ id: verifications.id })
        .from(verifications)
        .where(eq(verifications.identifier, identifier))
        .orderBy(desc(verifications.createdAt), desc(verifications.id))
        .offset(validTokens)
      const outdated = old.map(({ id }) => id)
      if (outdated.length > 0) {
        await queries.delete(verifications).where(inArray(verifications.id, outdated))
      }
    })
    return { token, link: links.setup(token) }
  }

  /**
   * Makes the first owner for whoever has the token.
   *
   * @throws ProblemError if the token is unknown or there is an owner
   */
  claim(token: string, owner: NewOwner): Promise<Owner> {
    return this.#make(owner, ({ digests, isFirst }) => {
      if (isFirst && digests.has(digestOf(token))) return
      throw new ProblemError('gone', 'This link is not valid, or the first owner has been made.', {
        hint: 'Start the control plane again for a new link, or sign in.',
      })
    })
  }

  /**
   * Makes an owner with an organisation of their own, without link and browser; links of the first start end.
   *
   * @throws ProblemError if the e-mail has an account
   */
  createOwner(owner: NewOwner): Promise<Owner> {
    return this.#make(owner, () => {})
  }

  async #make(owner: NewOwner, check: (state: SetupState) => void): Promise<Owner> {
    const { database, accounts, events, ids, now } = this.#parts
    const passwordHash = await accounts.hash(owner.password)
    const at = now()
    return database.transaction(async (queries) => {
      // Of two who come at once, the second finds nothing left.
      const state = await takeState(queries)
      check(state)
      const userId = await accounts.create(queries, owner, passwordHash, at)
      const cause = { kind: 'user', id: userId } as const
      const founding = { name: owner.organisation, owner: userId, cause, at }
      const adopted = state.isFirst ? await adoptOrphan(queries, founding, events) : null
      if (adopted !== null) return { userId, organisation: adopted }
      const slug = await freeSlug(queries, owner.organisation)
      return { userId, organisation: await found(queries, { ...founding, slug }, { events, ids }) }
    })
  }
}

interface SetupState {
  readonly digests: ReadonlySet<string>
  /** Whether nobody has an account yet. */
  readonly isFirst: boolean
}

/** Ends all links; others who make an owner wait until the transaction is over. */
async function takeState(queries: Queries): Promise<SetupState> {
  await queries.execute(sql`select pg_advisory_xact_lock(hashtext('deos setup'))`)
  const taken = await queries
    .delete(verifications)
    .where(eq(verifications.identifier, identifier))
    .returning({ digest: verifications.value })
  const known = await queries.select({ id: users.id }).from(users).limit(1)
  return { digests: new Set(taken.map(({ digest }) => digest)), isFirst: known.length === 0 }
}
