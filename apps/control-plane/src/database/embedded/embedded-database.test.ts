import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { sql } from 'drizzle-orm'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { EventStore } from '../../events/event-store.ts'
import { DatabaseFolderError, DatabaseFolderInUseError } from '../errors.ts'
import { openDatabase } from '../open-database.ts'
import { clusterSecrets } from '../schema/index.ts'
import { buildPrograms } from '../testing/built-programs.ts'
import { testLogger } from '../testing/databases.ts'

let programs: Awaited<ReturnType<typeof buildPrograms>>
let folder: string
beforeAll(async () => {
  programs = await buildPrograms({
    'append-forever': new URL('../testing/append-forever.ts', import.meta.url),
  })
})
afterAll(() => programs.remove())
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deos-embedded-'))
})
afterEach(() => rm(folder, { recursive: true }))

const open = () => {
  const thread = pathToFileURL(join(programs.folder, 'database-thread.mjs'))
  return openDatabase({ url: null, folder: join(folder, 'database'), thread }, testLogger)
}
const secret = { name: 'a', value: 'x', createdAt: new Date(0) }

/** Appends in a process of its own that is killed in the middle of it. */
async function appendAndKill(afterMs: number): Promise<{ openedAt: number | null; committed: number }> {
  const child = spawn(
    process.execPath,
    [join(programs.folder, 'append-forever.mjs'), join(folder, 'database')],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const exited = once(child, 'exit')
  let openedAt: number | null = null
  let committed = 0
  const lines = createInterface({ input: child.stdout })
  const working = new Promise<void>((resolve) => {
    lines.on('line', (line) => {
      const [word, number] = line.split(' ')
      if (word === 'open') openedAt = Number(number)
      else committed = Number(number)
      if (committed > 0) resolve()
    })
  })
  if (afterMs >= 0) await Promise.race([working, exited])
  await sleep(Math.abs(afterMs))
  child.kill('SIGKILL')
  await Promise.all([exited, once(lines, 'close')])
  return { openedAt, committed }
}

test('whatever was committed is there after the process was killed, whenever that was', async () => {
  // While it makes the database.
  await appendAndKill(-300)
  let acknowledged = 0
  for (const afterMs of [0, 35, 120, 61]) {
    const { openedAt, committed } = await appendAndKill(afterMs)
    expect(openedAt).toBeGreaterThanOrEqual(acknowledged)
    expect(committed).toBeGreaterThan(openedAt!)
    acknowledged = committed
  }
  const database = await open()
  const rows = await new EventStore(database).readStream('fleet', 0, 1_000_000)
  expect(rows.length).toBeGreaterThanOrEqual(acknowledged)
  for (const [index, row] of rows.entries()) {
    expect(row).toMatchObject({ version: index + 1, data: { version: index + 1 } })
  }
  await database.close()
  expect((await readdir(join(folder, 'database'))).sort()).toEqual(['data'])
}, 120_000)

test('a second opener is refused until the first has closed, and finds what that has written', async () => {
  const first = await open()
  await first.queries.insert(clusterSecrets).values(secret)
  await expect(open()).rejects.toThrow(DatabaseFolderInUseError)
  await first.close()
  const second = await open()
  expect(await second.queries.select().from(clusterSecrets)).toEqual([secret])
  await second.queries.execute(sql`vacuum (analyze)`)
  await second.queries.execute(sql`checkpoint`)
  await second.close()
  await expect(second.queries.select().from(clusterSecrets)).rejects.toThrow()
  await writeFile(join(folder, 'database/data/PG_VERSION'), '15\n')
  await expect(open()).rejects.toThrow('it is of PostgreSQL 15')
  expect(await readdir(join(folder, 'database'))).toEqual(['data'])
}, 120_000)

test('a folder that cannot be one is refused', async () => {
  await writeFile(join(folder, 'database'), 'a file')
  await expect(open()).rejects.toThrow(DatabaseFolderError)
})
