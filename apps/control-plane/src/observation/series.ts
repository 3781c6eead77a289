import type { timeWindows } from '@deos/api'
import { and, asc, eq, gte, lt } from 'drizzle-orm'
import type { Queries } from '../database/database.ts'
import { samples } from '../database/schema/index.ts'

export type TimeWindow = (typeof timeWindows)[number]

const minuteMs = 60_000
const windowMs: Readonly<Record<TimeWindow, number>> = {
  '15m': 15 * minuteMs,
  '1h': 60 * minuteMs,
  '6h': 360 * minuteMs,
  '24h': 1440 * minuteMs,
  '7d': 7 * 1440 * minuteMs,
  '30d': 30 * 1440 * minuteMs,
}

/** How often samples are taken. */
export const sampleMs = 10_000
/** Points of a chart at most. */
const mostSteps = 180

export const longestWindowMs = windowMs['30d']

export interface Series {
  readonly startAt: string
  readonly stepMs: number
  readonly values: Readonly<Record<string, readonly (number | null)[]>>
}

/** The samples of a subject as a chart draws them: the mean of each step, null where nothing was measured. */
export async function seriesOf(
  queries: Queries,
  subject: string,
  window: TimeWindow,
  now: Date,
): Promise<Series> {
  const stepMs = Math.max(sampleMs, windowMs[window] / mostSteps)
  const endMs = Math.ceil(now.getTime() / stepMs) * stepMs
  const startMs = endMs - windowMs[window]
  const rows = await queries
    .select({ at: samples.at, values: samples.values })
    .from(samples)
    .where(
      and(eq(samples.subject, subject), gte(samples.at, new Date(startMs)), lt(samples.at, new Date(endMs))),
    )
    .orderBy(asc(samples.at))
  return {
    startAt: new Date(startMs).toISOString(),
    stepMs,
    values: means(rows, startMs, stepMs, Math.round(windowMs[window] / stepMs)),
  }
}

interface Sample {
  readonly at: Date
  readonly values: Readonly<Record<string, number | null>>
}

/** Exported for tests. */
export function means(
  rows: readonly Sample[],
  startMs: number,
  stepMs: number,
  steps: number,
): Record<string, (number | null)[]> {
  const sums = new Map<string, { sum: number; count: number }[]>()
  for (const { at, values } of rows) {
    const step = Math.floor((at.getTime() - startMs) / stepMs)
    for (const [quantity, value] of Object.entries(values)) {
      if (value === null || step < 0 || step >= steps) continue
      const cells = sums.get(quantity) ?? Array.from({ length: steps }, () => ({ sum: 0, count: 0 }))
      sums.set(quantity, cells)
      cells[step]!.sum += value
      cells[step]!.count += 1
    }
  }
  return Object.fromEntries(
    [...sums]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([quantity, cells]) => [
        quantity,
        cells.map(({ sum, count }) => (count === 0 ? null : sum / count)),
      ]),
  )
}
