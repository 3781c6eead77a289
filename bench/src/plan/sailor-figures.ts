import { join } from 'node:path'
import { type Pool, type SailorGoal, SailorJudge, searchSailor } from '@deos/planner'
import { type Figure, measuredFigure, skippedFigure } from '../contract.ts'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { SailorFolder } from './sailor-files.ts'

const zones = ['us-central1-a', 'us-central1-b', 'us-central1-c', 'us-central1-f', 'us-west1-b']
const globalBatch = 1024
const pool = (accelerator: string, count: number, zone = zones[0]!): Pool => ({ accelerator, zone, count })

interface Cluster {
  readonly id: string
  readonly pools: readonly Pool[]
  /** Iterations a second of the best published planner there, judged by Sailor's formulas. */
  readonly published: number
  readonly bar: number
}

const clusters: readonly Cluster[] = [
  ...(
    [
      [32, 0.12511],
      [80, 0.27224],
      [128, 0.41753],
    ] as const
  ).map(([count, published]) => ({
    id: `uniform${count}`,
    pools: [pool('A100-40', count)],
    published,
    bar: 0.98,
  })),
  ...(
    [
      [32, 0.16996],
      [80, 0.36091],
      [128, 0.5229],
    ] as const
  ).map(([count, published]) => ({
    id: `mixed${count}and${3 * count}`,
    pools: [pool('A100-40', count), pool('V100-16', 3 * count)],
    published,
    bar: 1,
  })),
  ...(
    [
      [32, 0.41485],
      [80, 0.72801],
      [128, 1.01978],
    ] as const
  ).map(([count, published]) => ({
    id: `zones5x${count}`,
    pools: zones.map((zone) => pool('A100-40', count, zone)),
    published,
    bar: 1,
  })),
]

/** Searched within seconds. */
const isSmall = ({ pools }: Cluster): boolean => pools.length <= 2

const twoZones = zones.slice(0, 2).flatMap((zone) => [pool('A100-40', 128, zone), pool('V100-16', 128, zone)])

const terms = {
  parity: { id: 'plan.sailor.parity.worst', unit: 'ratio', better: 'lower', bar: 0.005 },
  oom: { id: 'plan.sailor.plansOutOfMemory', unit: 'plans', better: 'lower', bar: 0 },
  floor: { id: 'plan.sailor.cheapest.throughput', unit: 'iterations/s', better: 'higher', bar: 0.2 },
  cheapest: { id: 'plan.sailor.cheapest.price', unit: 'USD', better: 'lower' },
  ceiling: { id: 'plan.sailor.fastest.price', unit: 'USD', better: 'lower', bar: 1.2 },
  fastest: { id: 'plan.sailor.fastest.throughput', unit: 'iterations/s', better: 'higher' },
} as const
const clusterTerms = ({ id, bar }: Cluster) =>
  ({ id: `plan.sailor.${id}.vsPublished`, unit: 'ratio', better: 'higher', bar }) as const

/** Sailor's cost model: parity on plans that were run, and our search on its nine clusters and two constrained cases. */
export function measureSailor({ quick, dataFolder, progress }: PlanMeasurement): Measured {
  const path = dataFolder === null ? null : join(dataFolder, 'sailor')
  if (path === null || !SailorFolder.has(path)) {
    const reason = 'Needs --data DIR with Sailor’s files.'
    const all = [...Object.values(terms), ...clusters.map(clusterTerms)]
    return { figures: all.map((each) => skippedFigure({ ...each, reason })), raw: {} }
  }
  const folder = new SailorFolder(path)
  const parity = measuredPlans(folder)
  const tables = folder.tables('OPT-350')
  const find = (pools: readonly Pool[], goal: SailorGoal) => {
    const started = performance.now()
    const found = searchSailor({ tables, globalBatch, pools, goal })
    if (found === null) throw new RangeError('There is no plan.')
    return { ...found, perSecond: 1 / found.verdict.iterationS, searchS: (performance.now() - started) / 1e3 }
  }
  const measured = quick ? clusters.filter(isSmall) : clusters
  const rows = measured.map((cluster) => {
    progress(`Sailor's clusters, ${cluster.id}`)
    return { cluster, ...find(cluster.pools, { kind: 'fastest' }) }
  })
  progress("Sailor's budget and throughput limits")
  const cheapest = quick ? null : find(twoZones, { kind: 'cheapest', leastPerSecond: 0.2 })
  const fastest = quick ? null : find(twoZones, { kind: 'fastest', mostUsd: 1.2 })
  const all = [...rows, cheapest, fastest].filter((found) => found !== null)
  const reason = 'Left out by --quick.'
  const value = (term: (typeof terms)[keyof typeof terms], sample: number | undefined) =>
    sample === undefined ? skippedFigure({ ...term, reason }) : measuredFigure({ ...term, samples: [sample] })
  const figures: readonly Figure[] = [
    value(terms.parity, Math.max(...parity.map(({ sailorS, answerS }) => Math.abs(answerS / sailorS - 1)))),
    ...rows.map(({ cluster, verdict }) =>
      measuredFigure({
        ...clusterTerms(cluster),
        samples: [1 / verdict.iterationS / cluster.published],
      }),
    ),
    ...clusters
      .filter((cluster) => !measured.includes(cluster))
      .map((cluster) => skippedFigure({ ...clusterTerms(cluster), reason })),
    value(terms.oom, all.filter(({ verdict }) => !verdict.fits).length),
    value(terms.floor, cheapest?.perSecond),
    value(terms.cheapest, cheapest?.verdict.usd),
    value(terms.ceiling, fastest?.verdict.usd),
    value(terms.fastest, fastest?.perSecond),
  ]
  return {
    figures,
    raw: {
      measuredPlans: parity,
      clusters: rows.map(({ cluster, ...found }) => ({
        id: cluster.id,
        published: cluster.published,
        ...summary(found),
      })),
      cheapest: cheapest && summary(cheapest),
      fastest: fastest && summary(fastest),
    },
  }
}

type Found = NonNullable<ReturnType<typeof searchSailor>> & { readonly searchS: number }

function summary({ plan, verdict, judged, searchS }: Found) {
  const stages = plan.stages.map(({ first, end, replicas }) => {
    const counts: Record<string, number> = {}
    for (const { accelerator, zone, tensorParallel } of replicas) {
      const key = `${accelerator} ${zone} ×${tensorParallel}`
      counts[key] = (counts[key] ?? 0) + 1
    }
    return { layers: [first, end], replicas: counts }
  })
  const { iterationS, usd, accelerators } = verdict
  return {
    perSecond: 1 / iterationS,
    usd,
    accelerators,
    microbatch: plan.microbatch,
    stages,
    judged,
    searchS,
  }
}

/** Our evaluation of Sailor's formulas beside its authors'. */
function measuredPlans(folder: SailorFolder) {
  return folder.measuredPlans().map(({ file, model, globalBatch, plan, measuredS, predictedByS }) => {
    if (predictedByS.SAILOR === null) throw new RangeError(`${file} lacks Sailor's own prediction.`)
    const answerS = new SailorJudge(folder.tables(model), globalBatch).verdict(plan).iterationS
    return { file, model, measuredS, sailorS: predictedByS.SAILOR, answerS }
  })
}
