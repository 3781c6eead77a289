import { median } from '../contract.ts'
import { latencies, latencyShares, planEndToEnd, withOurPolicy } from './helix-end-to-end.ts'
import { type PublishedRow, readPublishedRows } from './helix-published.ts'
import type { HelixSetup } from './helix-rows.ts'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { servingFigure } from './serving-figure.ts'

const seedsOf = { quick: [1], full: [1, 2, 3] }
const budgets = {
  quick: {
    offline: { simulations: 24, evaluations: 8000 },
    online: { simulations: 24, evaluations: 8000 },
  },
  full: {
    offline: { simulations: 120, evaluations: 60_000 },
    online: { simulations: 300, evaluations: 60_000 },
  },
} as const

/** Whole plans, placement and routing decided by simulation, beside Helix's in the same simulator and as published. */
export function measureEndToEnd(setup: HelixSetup, { quick, progress }: PlanMeasurement): Measured {
  const rows = readPublishedRows(setup.folder).filter(
    (row) => row.kind === 'simulation' && row.method === 'Helix',
  )
  const seeds = seedsOf[quick ? 'quick' : 'full']
  const measured = rows.map((row) => {
    const name = `${row.site}.${row.model === 'llama1_30b' ? '30b' : '70b'}.${row.mode}`
    progress(`end to end: ${name}`)
    const plan = planEndToEnd(setup, row, budgets[quick ? 'quick' : 'full'][row.mode])
    const ours = seeds.map((seed) => plan.run(seed))
    const theirs = seeds.map((seed) => setup.run(row, seed))
    const { placement, policy, simulations, flowBound } = plan
    const decided = { placement, policy, simulations, flowBound }
    return row.mode === 'offline'
      ? offline(setup, name, row, decided, { seeds, ours, theirs })
      : online(name, row, decided, ours, theirs)
  })
  return {
    figures: measured.flatMap(({ figures }) => figures),
    raw: { endToEnd: measured.map(({ raw }) => raw) },
  }
}

type Result = ReturnType<HelixSetup['run']>

function offline(
  setup: HelixSetup,
  name: string,
  row: PublishedRow,
  decided: object,
  {
    seeds,
    ours,
    theirs,
  }: {
    readonly seeds: readonly number[]
    readonly ours: readonly Pick<Result, 'decodeTokensPerSecond'>[]
    readonly theirs: readonly Result[]
  },
) {
  const rates = ours.map((each) => each.decodeTokensPerSecond)
  const here = theirs.map((each) => each.decodeTokensPerSecond)
  const published = row.decodeTokensPerSecond
  const figures = [
    servingFigure(
      `${name}.vsPublishedHelix`,
      'ratio',
      'higher',
      rates.map((each) => each / published),
      1,
    ),
    servingFigure(
      `${name}.vsHelixHere`,
      'ratio',
      'higher',
      rates.map((each, at) => each / here[at]!),
      1,
    ),
  ]
  const helixPlacement =
    row.model === 'llama2_70b' ? setup.instance(`${row.site}_llama70b`).published[0]! : null
  const freedPlan = helixPlacement && withOurPolicy(setup, row, helixPlacement.placement)
  const freed = freedPlan && seeds.map((seed) => freedPlan.run(seed).decodeTokensPerSecond)
  if (freed !== null) {
    figures.push(
      servingFigure(
        `${name}.vsHelixPlacementWithOurPolicy`,
        'ratio',
        'higher',
        rates.map((each, at) => each / freed[at]!),
      ),
    )
  }
  return {
    figures,
    raw: { name, published, here, ours: rates, helixPlacementWithOurPolicy: freed, ...decided },
  }
}

function online(
  name: string,
  row: PublishedRow,
  decided: object,
  ours: readonly Pick<Result, 'promptMs' | 'decodeMs' | 'decodeTokensPerSecond'>[],
  theirs: readonly Result[],
) {
  const shares = ours.map((each, at) => latencyShares(each, latencies(theirs[at]!)))
  const published = [...row.promptSeconds, ...row.decodeSeconds]
  const toPublished = ours.map((each) => latencyShares(each, published))
  const mean = (each: readonly number[]) =>
    Math.exp(each.reduce((sum, share) => sum + Math.log(share), 0) / each.length)
  return {
    figures: [
      servingFigure(`${name}.meanLatencyVsHelixHere`, 'ratio', 'lower', shares.map(mean), 1),
      servingFigure(
        `${name}.worstPercentileVsHelixHere`,
        'ratio',
        'lower',
        shares.map((each) => Math.max(...each)),
        1,
      ),
      servingFigure(`${name}.meanLatencyVsPublishedHelix`, 'ratio', 'lower', toPublished.map(mean), 1),
      servingFigure(
        `${name}.worstPercentileVsPublishedHelix`,
        'ratio',
        'lower',
        toPublished.map((each) => Math.max(...each)),
        1,
      ),
    ],
    raw: {
      name,
      percentiles: 'p5, p25, p50, p75, p95 of prompts, then of decode steps, s',
      published,
      here: latencies(theirs[0]!),
      ours: latencies(ours[0]!),
      tokensPerSecond: median(ours.map((each) => each.decodeTokensPerSecond)),
      ...decided,
    },
  }
}
