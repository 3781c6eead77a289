import { barChart, groupedBarChart, lineChart, section } from '@deos/report'
import { z } from 'zod'
import { median } from '../contract.ts'

const steps = z.object({
  oursS: z.number(),
  zero3S: z.number(),
  megatronS: z.number(),
  dtFmS: z.number(),
  togetherS: z.number(),
})
const training = z.object({
  regions: z.object({
    asPublished: z.array(z.object({ fleet: z.string(), freedom: z.string(), row: steps })),
    sameFreedoms: z.array(z.object({ fleet: z.string(), freedom: z.string(), row: steps })),
    sweep: z.array(z.object({ globalBatch: z.number(), freedom: z.string(), row: steps })),
    ablation: z.array(z.object({ kind: z.string(), what: z.string(), stepS: z.number() })),
  }),
})
const serving = z.object({
  serving: z.object({
    fleets: z.array(z.object({ gap: z.number(), shares: z.record(z.string(), z.number().nullable()) })),
    flows: z.array(
      z.object({ instance: z.string(), theirs: z.number(), ours: z.number(), bound: z.number().nullable() }),
    ),
    endToEnd: z.array(
      z.object({
        name: z.string(),
        published: z.union([z.number(), z.array(z.number())]),
        ours: z.array(z.number()),
      }),
    ),
  }),
})

const planners = ['DeOS', 'ZeRO-3', 'Megatron', 'DT-FM', 'one data centre']
const stepsOf = (row: z.infer<typeof steps>) => [
  row.oursS,
  row.zero3S,
  row.megatronS,
  row.dtFmS,
  row.togetherS,
]

/** Steps of training over regions beside baselines, what each freedom gives, and how it goes with the batch. */
export function trainingPictures(raw: unknown): string {
  const parsed = training.safeParse(raw)
  if (!parsed.success) return ''
  const { asPublished, sameFreedoms, sweep, ablation } = parsed.data.regions
  const axis = { title: 'seconds a step', log: true }
  const named = (rows: typeof asPublished) =>
    rows.map(({ fleet, freedom, row }) => ({ name: `${fleet}, ${freedom}`, values: stepsOf(row) }))
  const freedoms = [...new Set(sweep.map(({ freedom }) => freedom))]
  return [
    section(
      'Training over regions: baselines as published',
      groupedBarChart('Steps as published', axis, planners, named(asPublished)),
    ),
    section(
      'The same freedoms for all, four regions',
      groupedBarChart(
        'Steps with the same freedoms',
        axis,
        planners,
        named(sameFreedoms.filter(({ fleet }) => fleet === 'fourRegions')),
      ),
    ),
    section(
      'Where the time goes, one freedom after the other',
      barChart(
        'Ablation',
        { title: 'seconds a step' },
        ablation.map(({ kind, what, stepS }) => ({
          name: what,
          value: stepS,
          text: `${Number(stepS.toPrecision(3))} s`,
          colour: [...new Set(ablation.map((each) => each.kind))].indexOf(kind),
        })),
      ),
    ),
    ...freedoms.map((freedom) =>
      section(
        `Sequences a step, ${freedom}`,
        lineChart({
          name: `Batch sweep, ${freedom}`,
          x: { title: 'sequences a step', log: true },
          y: { title: 'sequences a second', log: true },
          series: planners.map((name, at) => ({
            name,
            points: sweep
              .filter((each) => each.freedom === freedom)
              .sort((a, b) => a.globalBatch - b.globalBatch)
              .map(({ globalBatch, row }) => ({ x: globalBatch, y: globalBatch / stepsOf(row)[at]! })),
          })),
        }),
      ),
    ),
  ].join('')
}

/** Placements beside published ones and the bound, online latencies beside published ones, and random fleets. */
export function servingPictures(raw: unknown): string {
  const parsed = serving.safeParse(raw)
  if (!parsed.success) return ''
  const { fleets, flows, endToEnd } = parsed.data.serving
  return [
    section(
      'Flow of placements on Helix’s instances',
      groupedBarChart(
        'Flows',
        { title: 'tokens/s', log: true },
        ['published', 'DeOS', 'bound'],
        flows.map(({ instance, theirs, ours, bound }) => ({ name: instance, values: [theirs, ours, bound] })),
      ),
    ),
    section(
      'Whole plans offline, simulated',
      groupedBarChart(
        'Offline',
        { title: 'tokens/s' },
        ['published', 'DeOS'],
        endToEnd.flatMap(({ name, published, ours }) =>
          typeof published === 'number' ? [{ name, values: [published, median(ours)] }] : [],
        ),
      ),
    ),
    ...endToEnd.map(latencies),
    section('200 random fleets: share of the bound that is reached', fleetChart(fleets)),
  ].join('')
}

const percentiles = ['prompts', 'steps'].flatMap((what) =>
  [5, 25, 50, 75, 95].map((percent) => `${what}, p${percent}`),
)

function latencies({
  name,
  published,
  ours,
}: z.infer<typeof serving>['serving']['endToEnd'][number]): string {
  if (typeof published === 'number') return ''
  return section(
    `${name}: latencies, simulated`,
    groupedBarChart(
      name,
      { title: 'seconds' },
      ['published', 'DeOS'],
      published.map((seconds, at) => ({
        name: percentiles[at] ?? String(at),
        values: [seconds, ours[at] ?? null],
      })),
    ),
  )
}

/** For each planner its fleets from the worst to the best. */
function fleetChart(fleets: z.infer<typeof serving>['serving']['fleets']): string {
  const ofBound = (share: (fleet: (typeof fleets)[number]) => number | null | undefined) =>
    fleets
      .flatMap((fleet) => share(fleet) ?? [])
      .sort((a, b) => a - b)
      .map((y, x) => ({ x, y }))
  const others = Object.keys(fleets[0]?.shares ?? {})
  return lineChart({
    name: 'Random fleets',
    x: { title: 'fleets, from the worst to the best of each planner' },
    y: { title: 'share of the bound' },
    series: [
      { name: 'DeOS', points: ofBound(({ gap }) => 1 - gap) },
      ...others.map((name) => ({
        name,
        points: ofBound(({ gap, shares }) => (shares[name] == null ? null : shares[name] * (1 - gap))),
      })),
    ],
  })
}

const phases = z.object({
  phases: z.array(z.object({ case: z.string(), ratio: z.number().nullable() })),
})

/** Requests in time for the dollar where prompts are computed apart, beside computing them where they are answered. */
export function phasePictures(raw: unknown): string {
  const parsed = phases.safeParse(raw)
  if (!parsed.success) return ''
  const rows = parsed.data.phases.flatMap(({ case: name, ratio }) =>
    ratio === null
      ? []
      : [{ name, value: ratio, text: `${Number(ratio.toPrecision(3))}`, colour: ratio > 1 ? 2 : 4, mark: 1 }],
  )
  return section(
    'Prompts computed apart: goodput for the dollar',
    barChart('Goodput for the dollar', { title: 'beside prompts computed where they are answered' }, rows),
  )
}
