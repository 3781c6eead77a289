import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '@deos/service'
import pg from 'pg'
import type { Database } from '../database.ts'
import { DatabaseUnreachableError, DatabaseUrlError } from '../errors.ts'
import { migrateDatabase } from '../migrations.ts'
import { PooledDatabase } from '../pooled-database.ts'
import { GuardedPool } from '../transactions.ts'
import { ServerNotices } from './server-notices.ts'

const connections = { queries: 8, aside: 8 } as const
/** Both may be started at the same time. */
const patienceMs = 15_000

/** @throws DatabaseUrlError, DatabaseUnreachableError */
export async function openServer(url: string, logger: Logger): Promise<Database> {
  const address = addressOf(url)
  const config: pg.ClientConfig = {
    connectionString: url,
    application_name: 'deos',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  }
  await waitUntilUsable(config, address)
  const poolOf = (max: number) => {
    const pool = new GuardedPool({ ...config, max, idleTimeoutMillis: 60_000 })
    pool.on('error', (error) => logger.warn({ err: error }, 'An idle connection to the database broke.'))
    return pool
  }
  const notices = new ServerNotices(config, logger)
  const database = new PooledDatabase({
    kind: 'server',
    pool: poolOf(connections.queries),
    asidePool: poolOf(connections.aside),
    notices,
    housekeeping: null,
    closeServer: async () => {},
  })
  try {
    await notices.start()
    return database
  } catch (error) {
    await database.close()
    throw new DatabaseUnreachableError(address, 0, error)
  }
}

/** Without user and password. */
function addressOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null) throw new DatabaseUrlError('is no URL')
  if (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:') {
    throw new DatabaseUrlError(`begins with ${url.protocol}//`)
  }
  return `${url.host || 'localhost'}${url.pathname}`
}

async function waitUntilUsable(config: pg.ClientConfig, address: string): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += 500) {
    const client = new pg.Client(config)
    client.on('error', () => {})
    try {
      await client.connect()
      await migrateDatabase(client)
      return
    } catch (error) {
      if (waitedMs >= patienceMs || !mayPass(error)) {
        throw isAboutConnecting(error) ? new DatabaseUnreachableError(address, waitedMs, error) : error
      }
    } finally {
      await client.end().catch(() => {})
    }
    await sleep(500)
  }
}

const codeOf = (error: unknown): string => String((error as { code?: unknown } | null)?.code ?? '')

/** The server is not up yet: refused by the machine (`ECONNREFUSED`), or by a server that starts (`57P03`). */
const mayPass = (error: unknown): boolean =>
  /^(ECONN|EAI_AGAIN|ENOTFOUND|ETIMEDOUT|57P03)/.test(codeOf(error))

/** Also wrong passwords and databases that do not exist. */
const isAboutConnecting = (error: unknown): boolean =>
  mayPass(error) || /^(28|3D|53|08)/.test(codeOf(error)) || codeOf(error).startsWith('E')
