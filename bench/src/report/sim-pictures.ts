import { lineChart, section } from '@deos/report'
import { z } from 'zod'
import { median } from '../contract.ts'

const served = z.array(
  z.object({
    name: z.string(),
    kind: z.string(),
    decodeTokensPerSecond: z.number(),
    simulated: z.array(z.number()),
  }),
)
const trained = z.array(
  z.object({
    file: z.string(),
    measuredS: z.number(),
    played: z.object({ iterationS: z.number() }),
    predictedByS: z.record(z.string(), z.number().nullable()),
  }),
)
const measured = z.object({ rows: served, executedPlans: trained })

/** What was published or measured beside what the simulator says: on the dashed line both are equal. */
export function simPictures(raw: unknown): string {
  const parsed = measured.safeParse(raw)
  if (!parsed.success) return ''
  const { rows, executedPlans } = parsed.data
  const kinds = [...new Set(rows.map(({ kind }) => kind))]
  return (
    section(
      'Serving: tokens/s of Helix’s simulator and prototype',
      lineChart({
        name: 'Serving',
        x: { title: 'published, tokens/s', log: true },
        y: { title: 'simulated, tokens/s', log: true },
        diagonal: true,
        series: kinds.map((kind) => ({
          ...{ name: kind, loose: true },
          points: rows
            .filter((row) => row.kind === kind)
            .map((row) => ({ x: row.decodeTokensPerSecond, y: median(row.simulated), title: row.name })),
        })),
      }),
    ) + section('Training: iterations of 27 executed plans', trainedChart(executedPlans))
  )
}

export function trainedChart(plans: z.infer<typeof trained>): string {
  const others = [...new Set(plans.flatMap(({ predictedByS }) => Object.keys(predictedByS)))]
  const points = (value: (plan: (typeof plans)[number]) => number | null | undefined) =>
    plans.flatMap((plan) => {
      const y = value(plan)
      return y == null ? [] : [{ x: plan.measuredS, y, title: plan.file }]
    })
  return lineChart({
    name: 'Training',
    x: { title: 'measured, s', log: true },
    y: { title: 'predicted, s', log: true },
    diagonal: true,
    series: [
      { name: 'DeOS', loose: true, points: points(({ played }) => played.iterationS) },
      ...others.map((name) => ({
        name,
        loose: true,
        points: points(({ predictedByS }) => predictedByS[name]),
      })),
    ],
  })
}
