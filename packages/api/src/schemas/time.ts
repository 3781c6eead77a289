import { z } from 'zod'
import { component, exemplified } from '../contract/registry.ts'

/** ISO 8601, always UTC: `2026-01-05T09:30:00.000Z`. */
export const timestampSchema = exemplified(
  z.iso.datetime('must be a time in UTC such as 2026-01-05T09:30:00Z').max(40),
  ['2026-01-05T09:30:00.000Z', '2026-01-06T10:00:00.000Z', '2026-01-07T11:15:30.250Z'],
  'Timestamp',
)

/** A day in UTC. */
export const daySchema = exemplified(z.iso.date('must be a day such as 2026-01-05'), [
  '2026-01-05',
  '2026-01-06',
  '2026-01-07',
])

/** Windows that charts show. */
export const timeWindows = ['15m', '1h', '6h', '24h', '7d', '30d'] as const
export const timeWindowSchema = z.enum(timeWindows)

/** Values measured at even distances, ready to be drawn. */
export const seriesSchema = component(
  'Series',
  z.object({
    startAt: timestampSchema,
    stepMs: z.int().min(1),
    /** By quantity, whose unit ends the name. Each has one value for every step; null where nothing was measured. */
    values: z.record(z.string(), z.array(z.number().nullable())),
  }),
)
