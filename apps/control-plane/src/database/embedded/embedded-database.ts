import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, realpath, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DomainError } from '@deos/domain'
import type { Logger } from '@deos/service'
import type pg from 'pg'
import type { Database } from '../database.ts'
import { DatabaseFolderError } from '../errors.ts'
import { migrateDatabase } from '../migrations.ts'
import { LocalNotices } from '../notices.ts'
import { PooledDatabase } from '../pooled-database.ts'
import { GuardedPool } from '../transactions.ts'
import { createOnThread, type EngineHost, LocalEngineHost, ThreadEngineHost } from './engine-host.ts'
import { createEngineFiles } from './engine-image.ts'
import { FolderLock } from './folder-lock.ts'
import { Housekeeping } from './housekeeping.ts'
import { PortStream } from './port-stream.ts'
import { openEngine } from './postgres-engine.ts'

/** Of PostgreSQL, as its folders say. */
const majorVersion = '18'

export interface EmbeddedOptions {
  /** Made if it is not there; null keeps everything in memory. */
  readonly folder: string | null
  /** The built `database-thread` entry; null runs the engine on the calling thread. */
  readonly thread: URL | null
  /** Path of a database to begin with, see {@link createEngineFiles}; null makes one from nothing. */
  readonly image: string | null
}

/** @throws DatabaseFolderInUseError, DatabaseFolderError */
export async function openEmbedded(options: EmbeddedOptions, logger: Logger): Promise<Database> {
  const { folder, thread } = options
  if (folder === null) return serve(await startHost(null, thread, logger), async () => {}, logger)
  const root = await usableFolder(folder)
  const lock = await FolderLock.take(root)
  try {
    const data = await preparedData(root, options)
    return await serve(await startHost(data, thread, logger), () => lock.release(), logger)
  } catch (error) {
    await lock.release()
    throw error instanceof DomainError ? error : new DatabaseFolderError(root, error)
  }
}

async function usableFolder(folder: string): Promise<string> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    return await realpath(folder)
  } catch (error) {
    throw new DatabaseFolderError(folder, error)
  }
}

/** A database is there whole or not at all: it is made under another name. */
async function preparedData(root: string, { thread, image }: EmbeddedOptions): Promise<string> {
  const data = join(root, 'data')
  const drafts = (await readdir(root)).filter((name) => name.startsWith('data.new'))
  for (const draft of drafts) await rm(join(root, draft), { recursive: true })
  if (!existsSync(data)) {
    const draft = join(root, 'data.new')
    if (thread === null) await createEngineFiles(draft, image)
    else await createOnThread(thread, draft, image)
    await rename(draft, data)
  }
  const version = (await readFile(join(data, 'PG_VERSION'), 'utf8')).trim()
  if (version !== majorVersion) {
    throw new Error(`it is of PostgreSQL ${version}, and this release has ${majorVersion} embedded`)
  }
  return data
}

async function startHost(data: string | null, thread: URL | null, logger: Logger): Promise<EngineHost> {
  if (thread === null) return new LocalEngineHost(await openEngine(data))
  const onLost = (error: Error) =>
    logger.error({ err: error }, 'The embedded database died; it is opened again.')
  const host = new ThreadEngineHost(thread, data, onLost)
  await host.start()
  return host
}

/** Brings the tables up to date and puts a pool of one connection in front. */
export async function serve(
  host: EngineHost,
  onClosed: () => Promise<void>,
  logger: Logger,
): Promise<Database> {
  const stream = () => new PortStream(host.connect())
  const config: pg.ClientConfig = { stream, user: 'postgres', database: 'postgres', ssl: false }
  const pool = new GuardedPool({ ...config, max: 1, idleTimeoutMillis: 0 })
  pool.on('error', (error) => logger.warn({ err: error }, 'The connection to the embedded database broke.'))
  const housekeeping = new Housekeeping(pool, logger)
  const closeServer = async () => {
    await host.close()
    await onClosed()
  }
  try {
    const client = await pool.connect()
    try {
      await migrateDatabase(client)
    } finally {
      client.release()
    }
  } catch (error) {
    await pool.end()
    await closeServer()
    throw error
  }
  housekeeping.start()
  return new PooledDatabase({
    kind: 'embedded',
    pool,
    asidePool: null,
    notices: new LocalNotices(),
    housekeeping,
    closeServer,
  })
}
