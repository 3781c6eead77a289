import {
  type ComputeFleet,
  type ModelShape,
  type ServingPlan,
  type ServingRequest,
  type ServingWorkload,
  type StageReport,
  servingCandidates,
} from '@deos/planner'
import { type Goodput, goodputOf, type ServiceTargets, serviceAt } from '@deos/simulator'
import { type Figure, measuredFigure, skippedFigure } from '../contract.ts'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { fleets, models, readRequests, targets, targetsOf, withLinksOf, workloadOf } from './phase-cases.ts'

/** Tokens of a pass in which prompts are computed in chunks beside steps: the better one counts. */
const chunks = [512, 2048]
/** Requests that a plan is played with; the first third only warms up. */
const played = 1000
/** A plan is looked at more closely if it serves so much more than the best so far. */
const outdone = 1.02
/**
 * Steps of the search; of the targets, what plans are to keep in the mean; plans for each of these; the cases whose names
 * begin so, the others are left out.
 */
const quickly: Effort = { steps: 30, means: [0.7], candidates: 4, cases: 'a100+l40s.8b.' }
const fully: Effort = { steps: 200, means: [0.4, 0.7, 1], candidates: 16, cases: '' }
/**
 * How many times smaller K and V travel: F16; the codec without loss and at two of its lossy levels, as measured on a
 * small model (docs/kv-codec.md).
 */
const compressions = { f16: 1, lossless: 1.4, l2: 3.76, l3: 15.7 }
const leastGbps = 0.1
const mostGbps = 1000
const seed = 1
const strictShare = 0.99

interface Effort {
  readonly steps: number
  readonly means: readonly number[]
  readonly candidates: number
  readonly cases: string
}

interface Case {
  readonly name: string
  readonly fleet: ComputeFleet
  readonly shape: ModelShape
  readonly trace: readonly ServingRequest[]
  readonly targets: ServiceTargets
}

interface Tried {
  readonly plan: ServingPlan
  readonly workload: ServingWorkload
  readonly chunkTokens: number
}

/** The best plan of a kind, played. */
interface Best extends Tried {
  readonly goodput: Goodput
  readonly perDollar: number
}

/**
 * Prompts computed apart against prompts computed where they are answered, on mixed fleets with recorded requests: the
 * best plan of either kind, by the requests a second and dollar an hour of which nine in ten meet both targets; and the
 * bandwidth between machines from which the first is worth as much as the second.
 */
export function measurePhases({ quick, progress }: PlanMeasurement): Measured {
  const effort = quick ? quickly : fully
  const cases = Object.entries(fleets).flatMap(([fleetName, fleet]) =>
    Object.entries(models).flatMap(([modelName, shape]) =>
      Object.keys(targets).map(
        (traceName): Case => ({
          name: `${fleetName}.${modelName}.${traceName}`,
          fleet,
          shape,
          trace: readRequests(traceName),
          targets: targetsOf(traceName, modelName),
        }),
      ),
    ),
  )
  const rows = cases.map((each) => {
    if (!each.name.startsWith(effort.cases)) return leftOut(each)
    progress(each.name)
    return measureCase(each, effort)
  })
  return {
    figures: [...rows.flatMap(({ figures }) => figures), ...overall(rows)],
    raw: { phases: rows.flatMap(({ raw }) => (raw === null ? [] : [raw])) },
  }
}

interface Row {
  readonly ratio: number | null
  /** Gbit/s with K and V in F16. */
  readonly breakEven: number | null
  readonly figures: readonly Figure[]
  readonly raw: Readonly<Record<string, unknown>> | null
}

function measureCase(each: Case, effort: Effort): Row {
  const together = bestOf(each, 'together', effort)
  const split = bestOf(each, 'split', effort)
  const id = `plan.phases.${each.name}`
  const ratio = together === null || split === null ? null : split.perDollar / together.perDollar
  const breakEven = together === null || split === null ? null : breakEvenOf(each, together, split, effort)
  const strict = together === null || split === null ? null : strictRatio(each, together, split)
  const skipped = (what: string, unit: string, better: Figure['better'], reason: string) =>
    skippedFigure({ id: `${id}.${what}`, unit, better, reason })
  const missing = `No plan with prompts ${together === null ? 'computed where they are answered' : 'computed apart'} serves nine of ten requests in time.`
  const figure = (what: string, unit: string, better: Figure['better'], value: number | null, why: string) =>
    value === null
      ? skipped(what, unit, better, ratio === null ? missing : why)
      : measuredFigure({ id: `${id}.${what}`, unit, better, samples: [value] })
  const never = 'Prompts computed apart are not worth as much at any bandwidth.'
  return {
    ratio,
    breakEven,
    figures: [
      figure('goodputPerDollar', 'ratio', 'higher', ratio, missing),
      figure('goodputPerDollar.p99', 'ratio', 'higher', strict, 'No load leaves 99 of 100 requests in time.'),
      figure('breakEvenGbps', 'Gbit/s', 'lower', breakEven, never),
    ],
    raw: {
      case: each.name,
      targets: each.targets,
      together: reportOf(together),
      split: reportOf(split),
      ratio,
      breakEvenGbps:
        breakEven === null
          ? null
          : Object.fromEntries(
              Object.entries(compressions).map(([name, times]) => [name, breakEven / times]),
            ),
    },
  }
}

function leftOut({ name }: Case): Row {
  const reason = 'Only in full runs.'
  const id = `plan.phases.${name}`
  return {
    ratio: null,
    breakEven: null,
    figures: [
      skippedFigure({ id: `${id}.goodputPerDollar`, unit: 'ratio', better: 'higher', reason }),
      skippedFigure({ id: `${id}.goodputPerDollar.p99`, unit: 'ratio', better: 'higher', reason }),
      skippedFigure({ id: `${id}.breakEvenGbps`, unit: 'Gbit/s', better: 'lower', reason }),
    ],
    raw: null,
  }
}

function overall(rows: readonly Row[]): readonly Figure[] {
  const ratios = rows.flatMap(({ ratio }) => (ratio === null ? [] : [ratio]))
  const breakEvens = rows.flatMap(({ breakEven }) => (breakEven === null ? [] : [breakEven]))
  const figure = (what: string, unit: string, better: Figure['better'], samples: readonly number[]) => {
    const terms = { id: `plan.phases.${what}`, unit, better }
    return samples.length === 0
      ? skippedFigure({ ...terms, reason: 'There is no such case.' })
      : measuredFigure({ ...terms, samples })
  }
  const won = ratios.filter((each) => each > 1).length
  return [
    figure('goodputPerDollar', 'ratio', 'higher', ratios),
    figure('casesWonBySplit', 'share', 'higher', ratios.length === 0 ? [] : [won / ratios.length]),
    ...Object.entries(compressions).map(([name, times]) =>
      figure(
        `breakEvenGbps.${name}`,
        'Gbit/s',
        'lower',
        breakEvens.map((each) => each / times),
      ),
    ),
  ]
}

/**
 * The plan that serves most: each is played once with a little more than the best so far, and only one that bears it with
 * rising load.
 */
function bestOf(each: Case, roles: 'together' | 'split', effort: Effort): Best | null {
  const { shape, fleet, trace } = each
  const plans = effort.means.flatMap((mean) => {
    const workload = workloadOf(trace, each.targets, roles, mean)
    return servingCandidates(shape, fleet, workload, { steps: effort.steps, seed })
      .filter((plan) => plan.roles === roles)
      .slice(0, effort.candidates)
      .map((plan) => ({ plan, workload }))
  })
  let best: Best | null = null
  const seen = new Set<string>()
  for (const { plan, workload } of plans) {
    const layout = JSON.stringify(plan.replicas.map(({ role, stages }) => [role, stages.map(stageName)]))
    if (seen.has(layout)) continue
    seen.add(layout)
    for (const chunkTokens of roles === 'together' ? chunks : chunks.slice(-1)) {
      const tried = { plan, workload, chunkTokens }
      const more: number = best === null ? 0 : best.goodput.requestsPerS * outdone
      if (more > 0 && attainedAt(each, tried, fleet, more) < each.targets.share) continue
      const goodput = risingLoad(each, tried, more > 0 ? more : plan.predicted.requestsPerS * 0.5)
      if (goodput.requestsPerS > 0) best = { ...tried, goodput, perDollar: perDollar(each, goodput) }
    }
  }
  return best
}

/** The fleet is paid for whether a plan uses all of it or not. */
const perDollar = ({ fleet }: Case, { requestsPerS }: Goodput): number =>
  requestsPerS / fleet.machines.reduce((sum, { pricePerHour }) => sum + pricePerHour, 0)

function risingLoad(
  { shape, fleet, targets: promised }: Case,
  { plan, workload, chunkTokens }: Tried,
  aroundPerS: number,
): Goodput {
  const search = { seed, requests: played, chunkTokens, targets: promised, aroundPerS }
  return goodputOf(plan, { shape, fleet, workload }, search)
}

/** The same plans where 99 of 100 requests have to be in time. */
function strictRatio(each: Case, together: Best, split: Best): number | null {
  const strict = { ...each, targets: { ...each.targets, share: strictShare } }
  const [a, b] = [together, split].map((best) => risingLoad(strict, best, best.goodput.requestsPerS / 2))
  return a!.requestsPerS === 0 ? null : b!.requestsPerS / a!.requestsPerS
}

/**
 * The least bandwidth between machines at which the split plan carries what the other one carries; if it never does, at
 * which the best plan for the widest links does. What is sent takes its size by the bandwidth, so K and V that are so many
 * times smaller need so many times less.
 */
function breakEvenOf(each: Case, together: Best, split: Best, effort: Effort): number | null {
  const bears = (plan: Tried, gigabits: number) =>
    attainedAt(each, plan, withLinksOf(each.fleet, gigabits), together.goodput.requestsPerS) >=
    each.targets.share
  const wide = { ...each, fleet: withLinksOf(each.fleet, mostGbps) }
  const plan = bears(split, mostGbps) ? split : bestOf(wide, 'split', effort)
  if (plan === null || !bears(plan, mostGbps)) return null
  let [low, high] = [leastGbps, mostGbps]
  while (high / low > 1.1) {
    const middle = Math.sqrt(low * high)
    if (bears(plan, middle)) high = middle
    else low = middle
  }
  return high
}

function attainedAt(
  { shape, targets: promised }: Case,
  { plan, workload, chunkTokens }: Tried,
  fleet: ComputeFleet,
  requestsPerS: number,
): number {
  const run = { requestsPerS, seed, requests: played, chunkTokens }
  return serviceAt(plan, { shape, fleet, workload }, promised, run).attained
}

function reportOf(best: Best | null) {
  if (best === null) return null
  const { plan, chunkTokens, goodput, perDollar } = best
  return {
    goodput,
    perDollar,
    chunkTokens,
    pricePerHour: plan.predicted.pricePerHour,
    predicted: plan.predicted,
    replicas: plan.replicas.map(({ role, batch, stages }) => ({
      role,
      batch,
      stages: stages.map(stageName),
    })),
  }
}

const stageName = ({ accelerator, accelerators, layers }: StageReport): string =>
  `${accelerators.length} × ${accelerator} [${layers.first}, ${layers.end})`
