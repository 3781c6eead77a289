import { createLogger, type Logger } from '@deos/service'
import { afterAll, describe } from 'vitest'
import type { Database } from '../database.ts'
import { serve } from '../embedded/embedded-database.ts'
import { LocalEngineHost } from '../embedded/engine-host.ts'
import { cachedImage, unpackImage } from '../embedded/engine-image.ts'
import { openEngine } from '../embedded/postgres-engine.ts'
import { openDatabase } from '../open-database.ts'
import { TestServer } from './test-server.ts'

export const testLogger: Logger = createLogger({ name: 'test', level: 'fatal', format: 'json' })

/** A database with all tables and no rows, closed when the suite ends. */
export type OpenDatabase = () => Promise<Database>
/** What another control plane would open: the same data over connections of its own; embedded, the same again. */
export type OpenAgain = (database: Database) => Promise<Database>

/** The suite against both kinds of database: embedded in memory, and a real server. Each `open` gives a fresh one. */
export function describeDatabases(name: string, suite: (open: OpenDatabase, again: OpenAgain) => void): void {
  describeEmbedded(name, suite)
  describeServer(name, suite)
}

export function describeEmbedded(name: string, suite: (open: OpenDatabase, again: OpenAgain) => void): void {
  describe(`${name} (embedded)`, () => {
    const opened: Database[] = []
    afterAll(async () => {
      for (const database of opened) await database.close()
    })
    suite(
      async () => {
        const database = await openInMemory()
        opened.push(database)
        return database
      },
      async (database) => database,
    )
  })
}

export function describeServer(name: string, suite: (open: OpenDatabase, again: OpenAgain) => void): void {
  describe(`${name} (server)`, async () => {
    const missing = await TestServer.missing()
    if (missing !== null) {
      describe.skip(`skipped: ${missing}`, () => suite(neverOpened, neverOpened))
      return
    }
    const cleanups: (() => Promise<void>)[] = []
    const urls = new Map<Database, string>()
    const open = async (url: string) => {
      const database = await openDatabase({ url, folder: null }, testLogger)
      cleanups.unshift(() => database.close())
      urls.set(database, url)
      return database
    }
    afterAll(async () => {
      for (const cleanup of cleanups) await cleanup()
    })
    suite(
      async () => {
        const { url, drop } = await (await TestServer.shared()).createDatabase()
        cleanups.unshift(drop)
        return open(url)
      },
      (database) => open(urls.get(database)!),
    )
  })
}

const neverOpened = () => Promise.reject(new Error('There is no database here.'))

let image: Promise<Blob> | null = null

/** Loads a database made once for the process, which takes a quarter of the time of making one. */
async function openInMemory(): Promise<Database> {
  image ??= migratedImage()
  return serve(new LocalEngineHost(await openEngine(null, await image)), async () => {}, testLogger)
}

async function migratedImage(): Promise<Blob> {
  const engine = await openEngine(null, unpackImage(await cachedImage()))
  let dumped: Blob | null = null
  const host = new LocalEngineHost(engine)
  const database = await serve(
    {
      connect: () => host.connect(),
      close: async () => {
        dumped = await engine.dumpDataDir('none')
        await host.close()
      },
    },
    async () => {},
    testLogger,
  )
  await database.close()
  return dumped!
}
