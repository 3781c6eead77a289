import type { Role, UserId } from '@deos/api'
import { type OrganisationId, organisationId } from '@deos/domain'
import { asc, eq } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { members, organisations } from '../database/schema/index.ts'
import { Throttle } from './throttle.ts'

export interface Membership {
  readonly organisation: OrganisationId
  readonly slug: string
  readonly name: string
  readonly createdAt: Date
  readonly role: Role
}

const seenIntervalMs = 60_000

/** Which organisations people belong to. */
export class Memberships {
  readonly #database: Database
  readonly #now: () => Date
  readonly #seen = new Throttle(seenIntervalMs)

  constructor(database: Database, now: () => Date) {
    this.#database = database
    this.#now = now
  }

  /** By slug. */
  async of(user: UserId): Promise<readonly Membership[]> {
    const rows = await this.#database.queries
      .select({ organisation: organisations, role: members.role })
      .from(members)
      .innerJoin(organisations, eq(organisations.id, members.organisationId))
      .where(eq(members.userId, user))
      .orderBy(asc(organisations.slug))
    return rows.map(({ organisation: { id, slug, name, createdAt }, role }) => ({
      organisation: organisationId(id),
      slug,
      name,
      createdAt,
      role: role as Role,
    }))
  }

  /** The same for a request of theirs, which is noted at most once a minute. */
  async seen(user: UserId): Promise<readonly Membership[]> {
    const at = this.#now()
    if (this.#seen.isDue(user, at)) {
      await this.#database.queries.update(members).set({ lastSeenAt: at }).where(eq(members.userId, user))
    }
    return this.of(user)
  }
}
