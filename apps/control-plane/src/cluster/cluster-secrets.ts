import { randomBytes } from 'node:crypto'
import { eq } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { clusterSecrets } from '../database/schema/index.ts'

const sizeBytes = 32

export interface ClusterSecretsParts {
  readonly database: Database
  readonly now: () => Date
}

/** Secrets that all control planes of an installation share, made by whichever asks first. */
export class ClusterSecrets {
  readonly #parts: ClusterSecretsParts
  readonly #known = new Map<string, Promise<Buffer>>()

  constructor(parts: ClusterSecretsParts) {
    this.#parts = parts
  }

  /** 32 random bytes, the same for ever. */
  get(name: string): Promise<Buffer> {
    const known = this.#known.get(name)
    if (known !== undefined) return known
    const found = this.#find(name)
    this.#known.set(name, found)
    found.catch(() => this.#known.delete(name))
    return found
  }

  async #find(name: string): Promise<Buffer> {
    const { queries } = this.#parts.database
    const read = () =>
      queries
        .select({ value: clusterSecrets.value })
        .from(clusterSecrets)
        .where(eq(clusterSecrets.name, name))
    const [before] = await read()
    if (before !== undefined) return Buffer.from(before.value, 'base64')
    const value = randomBytes(sizeBytes).toString('base64')
    await queries
      .insert(clusterSecrets)
      .values({ name, value, createdAt: this.#parts.now() })
      .onConflictDoNothing()
    const [row] = await read()
    return Buffer.from(row!.value, 'base64')
  }
}
