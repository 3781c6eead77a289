import {
  type ComputeFleet,
  type ModelShape,
  type ServingPlan,
  type ServingRequest,
  type ServingWorkload,
  servingCandidates,
} from '@deos/planner'
import { type Goodput, goodputOf, playRequests, type ServiceTargets, tokenMs } from '@deos/simulator'
import { type Figure, measuredFigure, skippedFigure } from '../contract.ts'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { fleets, models, readRequests, targets, targetsOf, withLinksOf, workloadOf } from './phase-cases.ts'

/** Tokens of a pass in which prompts are computed in chunks beside steps: the better one counts. */
const chunks = [512, 2048]
/** Requests that a plan is played with, the first third of which only warms up; steps of the search; plans of a kind. */
const efforts = {
  quick: { scouted: 150, played: 300, steps: 30, candidates: 2 },
  full: { scouted: 450, played: 1500, steps: 200, candidates: 6 },
}
type Effort = (typeof efforts)['full']
/**
 * How many times smaller K and V travel: F16; the codec without loss and at two of its lossy levels, as measured on a
 * small model (docs/kv-codec.md).
 */
const compressions = { f16: 1, lossless: 1.4, l2: 3.76, l3: 15.7 }
type Compression = keyof typeof compressions
const leastGbps = 0.01
const mostGbps = 10_000
const seed = 1
const strictShare = 0.99

interface Case {
  readonly name: string
  readonly fleet: ComputeFleet
  readonly shape: ModelShape
  readonly trace: readonly ServingRequest[]
  readonly targets: ServiceTargets
}

/** The best plan of a kind, played. */
interface Best {
  readonly plan: ServingPlan
  readonly workload: ServingWorkload
  readonly chunkTokens: number
  readonly goodput: Goodput
  readonly perDollar: number
}

/**
 * Prompts computed apart against prompts computed where they are answered, on mixed fleets with recorded requests: the
 * best plan of either kind, by the requests a second and dollar an hour of which nine in ten meet both targets; and the
 * bandwidth between machines from which the first is worth as much as the second.
 */
export function measurePhases({ quick, progress }: PlanMeasurement): Measured {
  const effort = quick ? efforts.quick : efforts.full
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
    progress(each.name)
    return measureCase(each, effort)
  })
  return {
    figures: [...rows.flatMap(({ figures }) => figures), ...overall(rows)],
    raw: { phases: rows.map(({ raw }) => raw) },
  }
}

type Row = ReturnType<typeof measureCase>

function measureCase(each: Case, effort: Effort) {
  const together = bestOf(each, 'together', effort)
  const split = bestOf(each, 'split', effort)
  const id = `plan.phases.${each.name}`
  const ratio = together === null || split === null ? null : split.perDollar / together.perDollar
  const breakEven = together === null || split === null ? null : breakEvenOf(each, together, split, effort)
  const strict = together === null || split === null ? null : strictRatio(each, together, split, effort)
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
      figure('breakEvenGbps', 'Gbit/s', 'lower', breakEven?.f16 ?? null, never),
    ],
    raw: {
      case: each.name,
      targets: each.targets,
      together: reportOf(together),
      split: reportOf(split),
      ratio,
      breakEvenGbps: breakEven,
    },
  }
}

function overall(rows: readonly Row[]): readonly Figure[] {
  const ratios = rows.flatMap(({ ratio }) => (ratio === null ? [] : [ratio]))
  const found = rows.flatMap(({ breakEven }) => (breakEven === null ? [] : [breakEven]))
  const lossy = (Object.keys(compressions) as Compression[]).filter((each) => each !== 'f16')
  const figure = (what: string, unit: string, better: Figure['better'], samples: readonly number[]) => {
    const terms = { id: `plan.phases.${what}`, unit, better }
    return samples.length === 0
      ? skippedFigure({ ...terms, reason: 'There is no such case.' })
      : measuredFigure({ ...terms, samples })
  }
  return [
    figure('goodputPerDollar', 'ratio', 'higher', ratios),
    figure('casesWonBySplit', 'share', 'higher', [ratios.filter((each) => each > 1).length / ratios.length]),
    ...lossy.map((name) =>
      figure(
        `breakEven.${name}VsF16`,
        'ratio',
        'lower',
        found.flatMap((each) => (each.f16 === null || each[name] === null ? [] : [each[name] / each.f16])),
      ),
    ),
  ]
}

/** Scouts all candidates with few requests and plays the best with many. */
function bestOf(each: Case, roles: 'together' | 'split', effort: Effort): Best | null {
  const { shape, fleet, trace } = each
  const workload = workloadOf(trace, each.targets, roles)
  const plans = servingCandidates(shape, fleet, workload, { steps: effort.steps, seed })
    .filter((plan) => plan.roles === roles)
    .slice(0, effort.candidates)
  const tried = plans.flatMap((plan) =>
    (roles === 'together' ? chunks : chunks.slice(-1)).map((chunkTokens) =>
      played(each, plan, workload, chunkTokens, effort.scouted),
    ),
  )
  const best = tried.reduce<Best | null>(
    (most, next) => (most === null || next.perDollar > most.perDollar ? next : most),
    null,
  )
  if (best === null || best.perDollar === 0) return null
  const sure = played(each, best.plan, workload, best.chunkTokens, effort.played)
  return sure.perDollar === 0 ? null : sure
}

function played(
  { shape, fleet, targets: promised }: Case,
  plan: ServingPlan,
  workload: ServingWorkload,
  chunkTokens: number,
  requests: number,
): Best {
  const goodput = goodputOf(
    plan,
    { shape, fleet, workload },
    { seed, requests, chunkTokens, targets: promised, aroundPerS: plan.predicted.requestsPerS * 0.8 },
  )
  return {
    plan,
    workload,
    chunkTokens,
    goodput,
    perDollar: goodput.requestsPerS / plan.predicted.pricePerHour,
  }
}

/** The same plans where 99 of 100 requests have to be in time. */
function strictRatio(each: Case, together: Best, split: Best, { played: requests }: Effort): number | null {
  const strict = { ...each, targets: { ...each.targets, share: strictShare } }
  const [a, b] = [together, split].map(({ plan, workload, chunkTokens }) =>
    played(strict, plan, workload, chunkTokens, requests),
  )
  return a!.perDollar === 0 ? null : b!.perDollar / a!.perDollar
}

/** The least bandwidth between machines at which the split plan carries, for its price, what the other one carries. */
function breakEvenOf(each: Case, together: Best, split: Best, effort: Effort) {
  const ratePerS = together.perDollar * split.plan.predicted.pricePerHour
  const least = (name: Compression): number | null => {
    const workload = { ...split.workload, kvCompression: compressions[name] }
    const bears = (gigabits: number) =>
      attainedAt(each, split, workload, gigabits, ratePerS, effort) >= each.targets.share
    if (!bears(mostGbps)) return null
    let [low, high] = [leastGbps, mostGbps]
    while (high / low > 1.05) {
      const middle = Math.sqrt(low * high)
      if (bears(middle)) high = middle
      else low = middle
    }
    return high
  }
  return { f16: least('f16'), lossless: least('lossless'), l2: least('l2'), l3: least('l3') }
}

function attainedAt(
  { shape, fleet, targets: promised }: Case,
  { plan, chunkTokens }: Best,
  workload: ServingWorkload,
  gigabits: number,
  requestsPerS: number,
  { played: requests }: Effort,
): number {
  const setting = { shape, fleet: withLinksOf(fleet, gigabits), workload }
  const run = playRequests(plan, setting, { requestsPerS, seed, requests, chunkTokens })
  const met = run.requests.filter(
    (request) =>
      request.promptedMs - request.cameMs <= promised.ttftMs && tokenMs(request) <= promised.tpotMs,
  )
  return met.length / run.requests.length
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
      stages: stages.map(
        ({ accelerator, tensorParallel, layers }) =>
          `${tensorParallel} × ${accelerator} [${layers.first}, ${layers.end})`,
      ),
    })),
  }
}
