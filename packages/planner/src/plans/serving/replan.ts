import type { ModelShape } from '../../models/index.ts'
import { type ComputeFleet, canonicalFleet } from '../fleet.ts'
import type { ServingChoice } from './choices.ts'
import { describeChoice } from './describe.ts'
import { mendedChoice } from './mend.ts'
import { type Migration, migrationOf } from './migration.ts'
import { planServing, type ServingPlanning } from './plan-serving.ts'
import { keptChoice, type Remains, remainsOf } from './remains.ts'
import { servingBound } from './serving-bound.ts'
import type { ServingOutcome, ServingPlan, ServingRefusal } from './serving-plan.ts'
import { checkServingWorkload, type ServingWorkload } from './workload.ts'

export interface Replan {
  /** What is to be done. */
  readonly decision: 'keep' | 'move'
  readonly plan: ServingPlan | ServingRefusal
  /** What is left of the plan before, if that serves the workload. */
  readonly kept: ServingPlan | null
  readonly fresh: ServingOutcome
  readonly migration: Migration | null
  /** From so many seconds on the change pays; `null` if never, or if there is nothing to compare. */
  readonly breakEvenS: number | null
  readonly reason: string
}

export interface ReplanOptions extends ServingPlanning {
  /** For how long the fleet is expected to stay as it is. */
  readonly horizonS: number
  /** Whether everything is searched again, and not only what is like the plan before, which takes a fraction of the time. */
  readonly thorough?: boolean
}

/**
 * Plans anew after the fleet or the load has changed, and prices the change: what is left of the plan before is kept
 * unless the new one gains more over the horizon than is lost while weights travel.
 *
 * While machines fetch weights, the new plan serves nothing on them; requests that the kept plan would have answered in
 * that time are what the change costs.
 */
export function replanServing(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  previous: ServingPlan,
  options: ReplanOptions,
): Replan {
  checkServingWorkload(workload)
  const sorted = canonicalFleet(fleet)
  const remains = remainsOf(shape, sorted, workload, previous)
  const bound = servingBound(shape, sorted, workload)
  const describe = (choice: ServingChoice) => describeChoice(choice, shape, sorted, workload, bound)
  const left = keptChoice(remains, workload, previous)
  const kept = left === null ? null : describe(left)
  const fresh = freshPlan({ shape, fleet: sorted, workload, previous, options }, remains, describe)
  if (fresh.kind === 'refused') {
    const reason =
      kept === null ? fresh.binding : 'No new plan was found; what is left still serves the load.'
    return { decision: 'keep', plan: kept ?? fresh, kept, fresh, migration: null, breakEvenS: null, reason }
  }
  const migration = migrationOf(shape, sorted, workload, previous, fresh)
  const base = { kept, fresh, migration }
  if (kept === null) {
    const reason = `What is left does not serve the load; ${size(migration.sizeBytes)} move within ${show(migration.seconds)} s.`
    return { ...base, decision: 'move', plan: fresh, breakEvenS: null, reason }
  }
  const gain = gainOf(kept, fresh, workload)
  if (!(gain > 0)) {
    return {
      ...base,
      decision: 'keep',
      plan: kept,
      breakEvenS: null,
      reason: 'A new plan would be no better.',
    }
  }
  // Share of the kept plan's worth that is lost while machines that serve now fetch other layers.
  const busy = disturbedShare(kept, migration)
  const lost = busy * worthOf(kept, workload) * migration.seconds
  const breakEvenS = migration.seconds + lost / gain
  const pays = breakEvenS <= options.horizonS
  const reason = `${size(migration.sizeBytes)} move within ${show(migration.seconds)} s; the change pays after ${show(breakEvenS)} s, and the fleet is expected to stay for ${show(options.horizonS)} s.`
  return { ...base, decision: pays ? 'move' : 'keep', plan: pays ? fresh : kept, breakEvenS, reason }
}

interface Change {
  readonly shape: ModelShape
  /** In canonical order. */
  readonly fleet: ComputeFleet
  readonly workload: ServingWorkload
  readonly previous: ServingPlan
  readonly options: ReplanOptions
}

/** The plan before mended, as long as that serves; otherwise planned from everything there is. */
function freshPlan(
  { shape, fleet, workload, previous, options }: Change,
  remains: Remains,
  describe: (choice: ServingChoice) => ServingPlan,
): ServingOutcome {
  const { precision, roles, replicas } = previous
  const isAllowed =
    workload.precisions.includes(precision) && (workload.roles === 'either' || workload.roles === roles)
  if (options.thorough === true || !isAllowed) {
    return planServing(shape, fleet, workload, options)
  }
  const steps = Math.min(options.steps ?? repairSteps, repairSteps)
  if (roles === 'together' && options.judge === undefined) {
    const { seed = 1, shouldStop } = options
    const stop = shouldStop === undefined ? {} : { shouldStop }
    const mended = mendedChoice(remains, previous, { seed, steps, ...stop })
    if (mended !== null) return describe(mended)
  } else {
    const used = replicas.flatMap(({ stages }) => stages.map(({ tensorParallel }) => tensorParallel))
    const degrees = [...new Set(used)].sort((a, b) => a - b)
    const alike = { ...workload, precisions: [precision], roles }
    const repaired = planServing(shape, fleet, alike, { ...options, degrees, steps })
    if (repaired.kind === 'serve') return repaired
  }
  return planServing(shape, fleet, workload, options)
}

/** Changes that are tried while a plan is only mended. */
const repairSteps = 60

const show = (value: number): string => String(Number(value.toPrecision(3)))
const size = (value: number): string => `${show(value / 2 ** 30)} GiB`

/** Worth a second: requests, saved USD, or requests by how quick they are. */
function worthOf({ predicted }: ServingPlan, { goal, outputTokens }: ServingWorkload): number {
  if (goal === 'throughput') return predicted.requestsPerS
  if (goal === 'cost') return predicted.pricePerHour / 3600
  return 1000 / (predicted.ttftMs + outputTokens.mean * predicted.tpotMs)
}

function gainOf(kept: ServingPlan, fresh: ServingPlan, workload: ServingWorkload): number {
  const more = worthOf(fresh, workload) - worthOf(kept, workload)
  return workload.goal === 'cost' ? -more : more
}

function disturbedShare({ replicas }: ServingPlan, { machines }: Migration): number {
  const fetching = new Set(machines.map(({ machine }) => machine))
  return replicas
    .filter(({ stages }) =>
      stages.some(({ accelerators }) => accelerators.some(({ machine }) => fetching.has(machine))),
    )
    .reduce((sum, { share }) => Math.min(1, sum + share), 0)
}
