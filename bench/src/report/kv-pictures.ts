import { lineChart, section } from '@deos/report'
import { z } from 'zod'

const curve = z.array(
  z.object({
    name: z.string(),
    family: z.string(),
    ratio: z.number(),
    meanKl: z.number(),
    perplexityRatio: z.number(),
  }),
)
const measured = z.object({ codec: z.object({ ours: curve, others: curve }) })

/** How much smaller KV gets beside what that costs, for each level and each alternative. */
export function kvPictures(raw: unknown): string {
  const parsed = measured.safeParse(raw)
  if (!parsed.success) return ''
  const { ours, others } = parsed.data.codec
  const series = [...byFamily(ours), ...byFamily(others)].map(([name, points]) => ({
    name,
    points: points.map(({ ratio, meanKl, name: title }) => ({
      ...{ x: ratio, y: meanKl },
      title: `${title}: ${ratio.toFixed(2)} times smaller, KL ${meanKl.toPrecision(2)}`,
    })),
  }))
  return section(
    'Size beside divergence (below and to the right is better; levels without loss have none)',
    lineChart({
      name: 'Divergence by size',
      x: { title: 'times smaller than F16', log: true },
      y: { title: 'mean KL', log: true },
      series: series.filter(({ points }) => points.some(({ y }) => y > 0)),
      across: [{ y: 0.01, title: '0.01' }],
    }),
  )
}

/** `kivi4` and `kivi2` are points of one curve. */
const familyOf = (family: string): string => family.replace(/[\d.]+(Int8)?$/, '$1') || family

function byFamily(points: z.infer<typeof curve>): readonly (readonly [string, z.infer<typeof curve>])[] {
  const families = new Map<string, z.infer<typeof curve>>()
  for (const point of points) {
    const name = /^l\d/.test(point.family) ? point.family : familyOf(point.family)
    families.set(name, [...(families.get(name) ?? []), point])
  }
  return [...families].map(([name, list]) => [name, list.sort((a, b) => a.ratio - b.ratio)] as const)
}
