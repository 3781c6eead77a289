import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Logger } from '@deos/service'
import type { Database } from './database.ts'
import { openEmbedded } from './embedded/embedded-database.ts'
import { imageName } from './embedded/engine-image.ts'
import { openServer } from './server/server-database.ts'

export interface DatabaseOptions {
  /** A PostgreSQL server: `postgres://…`. Null takes the embedded database. */
  readonly url: string | null
  /** Of the embedded database; null keeps everything in memory. */
  readonly folder: string | null
  /** Entry of the embedded database's thread. Left out, it is the one that the build puts beside this file. */
  readonly thread?: URL | null
}

/**
 * Opens the database and brings its tables up to date.
 *
 * The embedded one blocks while it works, so it gets a thread when there is a built entry for it; from sources, it runs
 * on the calling thread.
 *
 * @throws DatabaseUrlError, DatabaseUnreachableError, DatabaseFolderInUseError, DatabaseFolderError
 */
export function openDatabase(options: DatabaseOptions, logger: Logger): Promise<Database> {
  const { url, folder, thread = builtFile('database-thread.mjs') } = options
  if (url !== null) return openServer(url, logger)
  const image = builtFile(imageName)
  return openEmbedded({ folder, thread, image: image && fileURLToPath(image) }, logger)
}

/** What the build puts beside the program. */
function builtFile(name: string): URL | null {
  const built = new URL(`./${name}`, import.meta.url)
  return existsSync(built) ? built : null
}
