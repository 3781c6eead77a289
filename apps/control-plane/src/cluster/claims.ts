import { eq } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import { claims } from '../database/schema/index.ts'

export interface ClaimsParts {
  readonly database: Database
  /** Of this process, for people. */
  readonly holder: string
  readonly now: () => Date
}

/** Work of which one control plane at a time does each kind. */
export class Claims {
  readonly #parts: ClaimsParts

  constructor(parts: ClaimsParts) {
    this.#parts = parts
  }

  /**
   * Runs `work` only if nobody else runs work of this name now. Free again when the work ends, or when the connection
   * of its holder does.
   *
   * `work` may use the rest of the database, too. What it writes through `queries` is kept only if the claim was held
   * to the end; if it throws, that is dropped on a server, and may be kept in the embedded database.
   *
   * @param remembers - whether it stays written down who did it last; of work under ever new names nothing should
   * @returns null if somebody else does
   */
  async tryRun<T>(
    name: string,
    work: (queries: Queries) => Promise<T>,
    { remembers = true }: { readonly remembers?: boolean } = {},
  ): Promise<T | null> {
    const { database } = this.#parts
    return database.kind === 'embedded'
      ? this.#alone(name, work, remembers)
      : this.#locked(name, work, remembers)
  }

  /** A row that is locked for as long as a transaction on a connection of its own lasts. */
  async #locked<T>(
    name: string,
    work: (queries: Queries) => Promise<T>,
    remembers: boolean,
  ): Promise<T | null> {
    const { database, holder, now } = this.#parts
    await database.queries.insert(claims).values({ name, holder, at: now() }).onConflictDoNothing()
    return database.aside(async (queries) => {
      const [row] = await queries
        .select({ name: claims.name })
        .from(claims)
        .where(eq(claims.name, name))
        .for('update', { skipLocked: true })
      if (row === undefined) return null
      const result = await work(queries)
      // Last, since others' inserts wait for a row that is being changed, but not for one that is only locked.
      if (remembers) await queries.update(claims).set({ holder, at: now() }).where(eq(claims.name, name))
      else await queries.delete(claims).where(eq(claims.name, name))
      return result
    })
  }

  /** One process has the embedded database open, so that it is enough to know what that does. */
  async #alone<T>(
    name: string,
    work: (queries: Queries) => Promise<T>,
    remembers: boolean,
  ): Promise<T | null> {
    const { database, holder, now } = this.#parts
    const running = runningIn(database)
    if (running.has(name)) return null
    running.add(name)
    try {
      const result = await database.aside(work)
      if (!remembers) return result
      const at = now()
      await database.queries
        .insert(claims)
        .values({ name, holder, at })
        .onConflictDoUpdate({ target: claims.name, set: { holder, at } })
      return result
    } finally {
      running.delete(name)
    }
  }
}

const runningByDatabase = new WeakMap<Database, Set<string>>()

function runningIn(database: Database): Set<string> {
  const running = runningByDatabase.get(database) ?? new Set()
  runningByDatabase.set(database, running)
  return running
}
