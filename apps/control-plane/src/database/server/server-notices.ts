import { EventEmitter } from 'node:events'
import type { Logger } from '@deos/service'
import { sql } from 'drizzle-orm'
import pg from 'pg'
import { type Channel, channels, type Queries } from '../database.ts'
import type { Notices } from '../notices.ts'

const delaysMs = { first: 100, most: 5000 }

/** Notices of a server, heard on a connection of its own that is made again whenever it breaks. */
export class ServerNotices implements Notices {
  readonly #config: pg.ClientConfig
  readonly #logger: Logger
  readonly #emitter = new EventEmitter().setMaxListeners(0)
  #client: pg.Client | null = null
  #timer: NodeJS.Timeout | null = null
  #delayMs = delaysMs.first
  #closed = false

  constructor(config: pg.ClientConfig, logger: Logger) {
    this.#config = config
    this.#logger = logger
  }

  /** Resolves once it listens. */
  async start(): Promise<void> {
    const client = new pg.Client({ ...this.#config, keepAlive: true })
    this.#client = client
    client.on('notification', ({ channel, payload }) => this.#emitter.emit(channel, payload ?? ''))
    client.on('error', (error) => this.#lose(client, error))
    client.on('end', () => this.#lose(client, new Error('The connection ended')))
    try {
      await client.connect()
      await client.query(channels.map((channel) => `listen ${channel}`).join(';'))
      this.#delayMs = delaysMs.first
    } catch (error) {
      this.#lose(client, error)
      throw error
    }
  }

  async publish(queries: Queries, channel: Channel, payload: string): Promise<void> {
    await queries.execute(sql`select pg_notify(${channel}, ${payload})`)
  }

  committed(): void {
    // The server tells everybody, this process too.
  }

  listen(channel: Channel, onNotice: (payload: string) => void): () => void {
    this.#emitter.on(channel, onNotice)
    return () => {
      this.#emitter.off(channel, onNotice)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    const client = this.#client
    this.#client = null
    this.#emitter.removeAllListeners()
    await client?.end()
  }

  #lose(client: pg.Client, error: unknown): void {
    if (client !== this.#client || this.#closed) return
    this.#client = null
    this.#logger.warn(
      { err: error, delayMs: this.#delayMs },
      'Notices of the database stopped; connecting again.',
    )
    client.end().catch(() => {})
    this.#timer = setTimeout(() => this.#reconnect(), this.#delayMs)
    this.#timer.unref()
    this.#delayMs = Math.min(2 * this.#delayMs, delaysMs.most)
  }

  async #reconnect(): Promise<void> {
    try {
      await this.start()
    } catch {
      return
    }
    // What was said meanwhile is unknown, so everybody looks.
    for (const channel of channels) this.#emitter.emit(channel, '')
  }
}
