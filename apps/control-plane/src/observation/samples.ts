import { lt, sql } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { samples } from '../database/schema/index.ts'
import { longestWindowMs, sampleMs } from './series.ts'

export interface Sample {
  /** `machine:<id>`, `deployment:<id>`, `organisation:<id>`. */
  readonly subject: string
  /** By quantity, whose unit ends the name. */
  readonly values: Readonly<Record<string, number | null>>
}

/** Takes samples of something; called every {@link sampleMs} by one control plane at a time. */
export type SampleSource = () => Promise<readonly Sample[]> | readonly Sample[]

/** With more subjects than this, each is sampled every minute only. */
const manySubjects = 300
const everyMinute = 60_000 / sampleMs
/** The embedded database does nothing else meanwhile. */
const rowsAtOnce = 100
/** After a day one sample of five minutes is kept. */
const thinnedAfterMs = 24 * 60 * 60_000
const thinnedToMs = 5 * 60_000

/** @param round - counts calls */
export async function takeSamples(
  database: Database,
  sources: readonly SampleSource[],
  round: number,
  now: Date,
): Promise<void> {
  const at = new Date(Math.floor(now.getTime() / sampleMs) * sampleMs)
  for (const source of sources) {
    const taken = await source()
    if (taken.length > manySubjects && round % everyMinute !== 0) continue
    for (let first = 0; first < taken.length; first += rowsAtOnce) {
      await store(database, taken.slice(first, first + rowsAtOnce), at)
    }
  }
}

async function store(database: Database, taken: readonly Sample[], at: Date): Promise<void> {
  await database.queries.execute(sql`
    insert into samples (subject, at, values)
    select subject, ${at.toISOString()}::timestamptz, values
    from json_to_recordset(${JSON.stringify(taken)}::json) as taken(subject text, values jsonb)
    on conflict do nothing`)
}

/** Forgets what no chart shows. */
export async function thinSamples(database: Database, now: Date): Promise<void> {
  const oldest = new Date(now.getTime() - longestWindowMs)
  const thinned = new Date(now.getTime() - thinnedAfterMs)
  await database.queries.delete(samples).where(lt(samples.at, oldest))
  await database.queries
    .delete(samples)
    .where(
      sql`${samples.at} < ${thinned} and (extract(epoch from ${samples.at}) * 1000)::bigint % ${thinnedToMs} >= ${sampleMs}`,
    )
}
