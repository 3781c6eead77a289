import { type AnswerOf, cursorFormat, type logLevels, type Routes } from '@deos/api'
import type { DeploymentId, ReplicaId } from '@deos/domain'
import { and, asc, desc, eq, gt, inArray, lt, max, type SQL } from 'drizzle-orm'
import { z } from 'zod'
import type { Database } from '../database/database.ts'
import { logLines } from '../database/schema/index.ts'
import { listing } from '../people/listing.ts'

type LogPage = AnswerOf<Routes['deployments']['logs']>
export type LogLine = LogPage['items'][number]
type Level = (typeof logLevels)[number]

export interface LogFilter {
  /** At least so important. */
  readonly level?: Level | undefined
  readonly replica?: ReplicaId | undefined
}

const byImportance: readonly Level[] = ['debug', 'info', 'warn', 'error']
const cursors = cursorFormat('logs', z.int())
const linesAtOnce = 500
/** Lines become visible out of order by as many as are written at once. */
const overlap = 1000

/** Newest first. */
export async function logPage(
  { queries }: Database,
  deployment: DeploymentId,
  { cursor, limit, ...filter }: LogFilter & { readonly cursor?: string | undefined; readonly limit: number },
): Promise<LogPage> {
  const before = cursor === undefined ? undefined : lt(logLines.sequence, cursors.decode(cursor))
  const rows = await queries
    .select()
    .from(logLines)
    .where(and(...conditions(deployment, filter), before))
    .orderBy(desc(logLines.sequence))
    .limit(limit + 1)
  return listing(rows, limit, lineOf, ({ sequence }) => cursors.encode(sequence))
}

/** Reads lines as they appear, none twice. */
export class LogFollower {
  readonly #seen = new Set<number>()
  #last: number

  private constructor(
    private readonly database: Database,
    private readonly deployment: DeploymentId,
    private readonly filter: LogFilter,
    last: number,
  ) {
    this.#last = last
  }

  /** @param after - number of the last line that the reader has; null begins with what comes now */
  static async open(
    database: Database,
    deployment: DeploymentId,
    filter: LogFilter,
    after: number | null,
  ): Promise<LogFollower> {
    const [row] = await database.queries.select({ last: max(logLines.sequence) }).from(logLines)
    const follower = new LogFollower(database, deployment, filter, after ?? row?.last ?? 0)
    await follower.#remember()
    return follower
  }

  async next(): Promise<readonly LogLine[]> {
    const rows = (await this.#rows(this.#last - overlap)).filter(({ sequence }) => !this.#seen.has(sequence))
    for (const { sequence } of rows) {
      this.#seen.add(sequence)
      this.#last = Math.max(this.#last, sequence)
    }
    for (const sequence of this.#seen) if (sequence <= this.#last - overlap) this.#seen.delete(sequence)
    return rows.map(lineOf)
  }

  /** What lies before the beginning is not told. */
  async #remember(): Promise<void> {
    for (const { sequence } of await this.#rows(this.#last - overlap)) {
      if (sequence <= this.#last) this.#seen.add(sequence)
    }
  }

  #rows(after: number) {
    return this.database.queries
      .select()
      .from(logLines)
      .where(and(...conditions(this.deployment, this.filter), gt(logLines.sequence, after)))
      .orderBy(asc(logLines.sequence))
      .limit(linesAtOnce + overlap)
  }
}

const conditions = (
  deployment: DeploymentId,
  { level, replica }: LogFilter,
): readonly (SQL | undefined)[] => [
  eq(logLines.deploymentId, deployment),
  replica === undefined ? undefined : eq(logLines.replicaId, replica),
  level === undefined ? undefined : inArray(logLines.level, byImportance.slice(byImportance.indexOf(level))),
]

const lineOf = ({
  sequence,
  at,
  level,
  replicaId,
  stageId,
  machineId,
  message,
}: typeof logLines.$inferSelect): LogLine => ({
  sequence,
  at: at.toISOString(),
  level,
  replicaId: replicaId as LogLine['replicaId'],
  stageId: stageId as LogLine['stageId'],
  machineId: machineId as LogLine['machineId'],
  message,
})
