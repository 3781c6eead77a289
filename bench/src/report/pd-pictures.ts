import { groupedBarChart, section } from '@deos/report'
import { z } from 'zod'
import { median } from '../contract.ts'

const measured = z.object({
  split: z.object({
    cells: z.array(
      z.object({
        cell: z.object({ mbps: z.number(), rttMs: z.number(), loss: z.number() }),
        boundMs: z.number(),
        predictedMs: z.number(),
        exposedMs: z.array(z.number()),
      }),
    ),
  }),
})

/** What of a transfer is waited for on each kind of way. */
export function pdPictures(raw: unknown): string {
  const parsed = measured.safeParse(raw)
  if (!parsed.success) return ''
  const rows = parsed.data.split.cells.map(({ cell, exposedMs, predictedMs, boundMs }) => ({
    name: `${cell.mbps} Mbit/s, ${cell.rttMs} ms, ${cell.loss * 100} % lost`,
    values: [median(exposedMs), predictedMs, boundMs],
  }))
  return section(
    'Transfer that is waited for',
    groupedBarChart('Exposed transfer', { title: 'ms' }, ['measured', 'predicted', 'allowed'], rows),
  )
}
