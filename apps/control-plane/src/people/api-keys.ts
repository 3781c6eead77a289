import { type KeyId, type KeyScope, keyScopes } from '@deos/api'
import { type IdSource, organisationId } from '@deos/domain'
import { asc, eq } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { apiKeys, organisations } from '../database/schema/index.ts'
import type { KnownKey } from '../http/credentials.ts'
import { digestOf, shownPrefix } from '../http/secrets.ts'
import { found, unlimited } from './founding.ts'
import { firstProject } from './project-handlers.ts'
import { Throttle } from './throttle.ts'
import { type EventTeller, toldEvent } from './told-events.ts'

export interface ApiKeysParts {
  readonly database: Database
  readonly events: EventTeller
  readonly ids: IdSource
  readonly now: () => Date
}

type KeyRow = typeof apiKeys.$inferSelect

const usedIntervalMs = 60_000

/** What a first start is for before there are people. */
const orphan = { slug: 'local', name: 'Local', owner: null, cause: { kind: 'system' } } as const

/** Whether a key may be used at a moment. */
export const isUsable = ({ revokedAt, expiresAt }: Pick<KeyRow, 'revokedAt' | 'expiresAt'>, at: Date) =>
  revokedAt === null && (expiresAt === null || expiresAt > at)

/** API keys as credentials. */
export class ApiKeys {
  readonly #parts: ApiKeysParts
  readonly #used = new Throttle(usedIntervalMs)

  constructor(parts: ApiKeysParts) {
    this.#parts = parts
  }

  /** What calls this API; null if the key is unknown, expired or revoked. */
  async keyOf(digest: string): Promise<KnownKey | null> {
    const { database, now } = this.#parts
    const [row] = await database.queries.select().from(apiKeys).where(eq(apiKeys.digest, digest))
    if (row === undefined || row.userId !== null || !isUsable(row, now())) return null
    await this.noteUse(row.id)
    return { keyId: row.id as KeyId, organisation: organisationId(row.organisationId), scopes: row.scopes }
  }

  /** Notes at most once a minute that a key was used. */
  async noteUse(id: string): Promise<void> {
    const { database, now } = this.#parts
    const at = now()
    if (!this.#used.isDue(id, at)) return
    await database.queries.update(apiKeys).set({ lastUsedAt: at }).where(eq(apiKeys.id, id))
  }

  /**
   * Makes a secret that somebody brings along a key of the oldest organisation, with all scopes; does nothing if it is
   * a key already. Where there is no organisation yet, one is made that waits for the first owner.
   */
  async ensureKey(secret: string, name: string): Promise<void> {
    const { database, events, ids, now } = this.#parts
    await database.transaction(async (queries) => {
      const at = now()
      const [oldest] = await queries
        .select({ id: organisations.id })
        .from(organisations)
        .orderBy(asc(organisations.createdAt), asc(organisations.id))
        .limit(1)
      const organisation = oldest
        ? organisationId(oldest.id)
        : (await found(queries, { ...orphan, at }, { events, ids })).id
      const scopes: KeyScope[] = [...keyScopes]
      const created = await queries
        .insert(apiKeys)
        .values({
          id: ids.next('key'),
          organisationId: organisation,
          projectId: (await firstProject(queries, organisation)).id,
          name,
          prefix: shownPrefix(secret),
          digest: digestOf(secret),
          scopes,
          rateLimit: unlimited,
          createdAt: at,
        })
        .onConflictDoNothing()
        .returning({ id: apiKeys.id })
      const circumstance = { organisation, cause: { kind: 'system' }, at } as const
      const told = created.map(({ id }) => toldEvent('key.created', { keyId: id as KeyId }, circumstance))
      if (told.length > 0) await events.tell(queries, told)
    })
  }
}
