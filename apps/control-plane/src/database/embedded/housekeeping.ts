import type { Logger } from '@deos/service'
import type pg from 'pg'

const lookEveryMs = 60_000
/** Written since the last time; also bounds what is to be replayed after the process was killed. */
const dueBytes = 16 * 1024 * 1024

/** What a server does in the background and a single session does not: rows that are gone are cleared away, and the log of writes is cut. */
export class Housekeeping {
  readonly #pool: pg.Pool
  readonly #logger: Logger
  #timer: NodeJS.Timeout | null = null
  #running: Promise<void> = Promise.resolve()
  #doneAt: string | null = null

  constructor(pool: pg.Pool, logger: Logger) {
    this.#pool = pool
    this.#logger = logger
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#running = this.#running.then(() => this.#look())
    }, lookEveryMs)
    this.#timer.unref()
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    await this.#running
  }

  async #look(): Promise<void> {
    try {
      const { rows } = await this.#pool.query<{ at: string; bytes: string }>(
        "select pg_current_wal_lsn() as at, pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce($1, '0/0')::pg_lsn) as bytes",
        [this.#doneAt],
      )
      const { at, bytes } = rows[0]!
      if (Number(bytes) < dueBytes) return
      const tables = await this.#pool.query<{ name: string }>(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = current_schema() order by 1",
      )
      // One after another: nothing else is answered while one is cleared.
      for (const { name } of tables.rows) await this.#pool.query(`vacuum (analyze) ${name}`)
      await this.#pool.query('checkpoint')
      this.#doneAt = at
    } catch (error) {
      this.#logger.warn(
        { err: error },
        'The embedded database could not be tidied; it is tried again in a minute.',
      )
    }
  }
}
