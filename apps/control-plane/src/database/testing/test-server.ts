import { execFile, spawn } from 'node:child_process'
import { chown, mkdir, mkdtemp, realpath, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { migrateDatabase } from '../migrations.ts'
import { findBinaries, libraryPath } from './postgres-binaries.ts'

/** PostgreSQL refuses to run as root; this is nobody. */
const otherUid = process.getuid?.() === 0 ? 65_534 : null
const template = 'deos_template'

/** A PostgreSQL server of its own for one test process, gone with it. */
export class TestServer {
  readonly #port: number
  #databases = 0

  private constructor(port: number) {
    this.#port = port
  }

  static #started: Promise<TestServer> | null = null

  /** The one of this process. */
  static shared(): Promise<TestServer> {
    TestServer.#started ??= TestServer.#start()
    return TestServer.#started
  }

  /** @returns why there can be none here, or null */
  static async missing(): Promise<string | null> {
    try {
      await findBinaries()
      return null
    } catch {
      return `there is no package with PostgreSQL for ${process.platform} on ${process.arch}`
    }
  }

  static async #start(): Promise<TestServer> {
    const { initdb, postgres } = await findBinaries()
    const folder = await mkdtemp(join(await realpath(tmpdir()), 'deos-postgres-'))
    const data = join(folder, 'data')
    await mkdir(data, { mode: 0o700 })
    const env = { ...process.env, ...(await libraryPath(initdb, folder)) }
    if (otherUid !== null) for (const path of [folder, data]) await chown(path, otherUid, otherUid)
    // Neither bytewise order nor fsync: what relies on the one must say so, and nothing here is to last.
    const locale = ['--locale-provider=icu', '--icu-locale=en', '--locale=C', '--encoding=UTF8']
    try {
      await promisify(execFile)(
        initdb,
        ['-D', data, '-U', 'deos', '--auth=trust', '--no-sync', '--no-instructions', ...locale],
        { cwd: folder, env, ...(otherUid === null ? {} : { uid: otherUid, gid: otherUid }) },
      )
    } catch (error) {
      await rm(folder, { recursive: true })
      throw error
    }
    const port = await freePort()
    const settings = ['listen_addresses=127.0.0.1', `port=${port}`, 'fsync=off', 'shared_buffers=32MB']
    const sockets = process.platform === 'win32' ? [] : [`unix_socket_directories=${folder}`]
    const args = ['-D', data, ...[...settings, ...sockets].flatMap((setting) => ['-c', setting])]
    const supervisor = spawn(
      process.execPath,
      [
        fileURLToPath(new URL('./postgres-supervisor.mjs', import.meta.url)),
        JSON.stringify({ command: postgres, args, uid: otherUid, folder }),
      ],
      { env, stdio: ['pipe', 'ignore', 'ignore'], detached: true },
    )
    supervisor.unref()
    ;(supervisor.stdin as unknown as { unref(): void }).unref()
    const server = new TestServer(port)
    await server.#prepare()
    return server
  }

  /** @returns the address of a new database with all tables, and how to remove it */
  async createDatabase(): Promise<{ readonly url: string; readonly drop: () => Promise<void> }> {
    this.#databases += 1
    const name = `suite_${this.#databases}`
    await this.#run('postgres', (client) => client.query(`create database ${name} template ${template}`))
    const drop = () =>
      this.#run('postgres', (client) => client.query(`drop database ${name} with (force)`)).then(() => {})
    return { url: this.#url(name), drop }
  }

  /** @returns the address of a new database without tables */
  async createEmptyDatabase(): Promise<string> {
    this.#databases += 1
    const name = `empty_${this.#databases}`
    await this.#run('postgres', (client) => client.query(`create database ${name}`))
    return this.#url(name)
  }

  async #prepare(): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        await this.#run('postgres', (client) => client.query(`create database ${template}`))
        break
      } catch (error) {
        if (attempt === 200) throw error
        await sleep(50)
      }
    }
    await this.#run(template, migrateDatabase)
  }

  async #run<T>(database: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client({ connectionString: this.#url(database) })
    client.on('error', () => {})
    await client.connect()
    try {
      return await work(client)
    } finally {
      await client.end()
    }
  }

  readonly #url = (database: string): string => `postgres://deos@127.0.0.1:${this.#port}/${database}`
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
