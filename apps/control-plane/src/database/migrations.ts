import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate } from 'drizzle-orm/node-postgres/migrator'
import type pg from 'pg'

/** The build copies them beside the program; from sources they lie in the app's folder. */
const folders = ['./migrations/', '../../migrations/'].map((path) => new URL(path, import.meta.url))

export function migrationsFolder(): string {
  const folder = folders.find((url) => existsSync(new URL('meta/_journal.json', url)))
  if (folder === undefined)
    throw new Error(`No migrations in ${folders.map((url) => fileURLToPath(url)).join(' or ')}.`)
  return fileURLToPath(folder)
}

/** Any number, the same in every version. */
const migrationLock = 6_037_001

/** Brings the tables up to date; one control plane at a time does, others wait. */
export async function migrateDatabase(client: pg.ClientBase): Promise<void> {
  await client.query('select pg_advisory_lock($1)', [migrationLock])
  try {
    await migrate(drizzle(client as pg.Client), { migrationsFolder: migrationsFolder() })
  } finally {
    await client.query('select pg_advisory_unlock($1)', [migrationLock])
  }
}
