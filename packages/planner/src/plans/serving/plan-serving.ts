import { seededRandom } from '@deos/domain'
import type { ModelShape } from '../../models/index.ts'
import { type ComputeFleet, canonicalFleet } from '../fleet.ts'
import { summed } from './assignment.ts'
import { keyOf, kindOf, nameOfChoice, show } from './choice-names.ts'
import { type ServingChoice, servingChoices } from './choices.ts'
import { describeChoice, figuresOf } from './describe.ts'
import { refusalOf } from './refusal.ts'
import { servingBound } from './serving-bound.ts'
import type { RejectedOption, ServingOutcome, ServingPlan, SimulatedServing } from './serving-plan.ts'
import { checkServingWorkload, type ServingWorkload } from './workload.ts'

export interface ServingPlanning {
  /** Plays a plan; without it, the cost model alone decides. */
  readonly judge?: (plan: ServingPlan) => SimulatedServing
  /** How many of the best plans are played. */
  readonly judged?: number
  /** Changes tried by local search; more is slower and better. */
  readonly steps?: number
  readonly seed?: number
  readonly shouldStop?: () => boolean
  /** Tensor-parallel degrees to try, the same for all machines; without them, all and one for each class. */
  readonly degrees?: readonly number[]
}

/** A throughput that the simulation does not bear within the targets is lowered so often, to this share each time. */
const lowerings = 5
const lowered = 0.88
/** The mean of a simulation scatters; a target is met up to this factor. */
const tolerance = 1.02
const mostRejected = 8
const usualSteps = 600

/**
 * Plans how a fleet serves a model: precision, tensor-parallel groups, pipelines with uneven stages, their number and
 * batch, and whether prompts are computed apart; says what it expects, what binds, what was rejected and how far the
 * proven bound is. If it cannot be done, says why and which single change would do.
 *
 * The same input gives the same plan, whatever the order of the machines.
 *
 * @throws PlanInputError if fleet or workload make no sense
 */
export function planServing(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  planning: ServingPlanning = {},
): ServingOutcome {
  checkServingWorkload(workload)
  const sorted = canonicalFleet(fleet)
  const { steps = usualSteps } = planning
  const search = (of: ComputeFleet, asked: ServingWorkload, changes: number) =>
    searched(shape, canonicalFleet(of), asked, { ...planning, steps: changes })
  const choices = search(sorted, workload, steps)
  if (choices[0]?.assignment.feasible !== true) {
    return refusalOf(shape, sorted, workload, (of, asked) => search(of, asked, 0)[0] ?? null)
  }
  const bound = servingBound(shape, sorted, workload)
  const describe = (choice: ServingChoice) => describeChoice(choice, shape, sorted, workload, bound)
  const feasible = candidatesOf(choices)
  const chosen = judgedBest(feasible, describe, workload, planning)
  const rejected = rejectedOf(feasible, chosen.choice, workload)
  return { ...chosen.plan, rejected: [...chosen.rejected, ...rejected].slice(0, mostRejected) }
}

/**
 * The plans among which {@link planServing} chooses, the best of every kind first; none if none does what is asked.
 *
 * @throws PlanInputError if fleet or workload make no sense
 */
export function servingCandidates(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  planning: Omit<ServingPlanning, 'judge' | 'judged'> = {},
): readonly ServingPlan[] {
  checkServingWorkload(workload)
  const sorted = canonicalFleet(fleet)
  const bound = servingBound(shape, sorted, workload)
  const choices = candidatesOf(searched(shape, sorted, workload, planning))
  return choices.map((choice) => describeChoice(choice, shape, sorted, workload, bound))
}

function searched(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  { seed = 1, steps = usualSteps, shouldStop, degrees }: ServingPlanning,
): readonly ServingChoice[] {
  return servingChoices(shape, fleet, workload, {
    random: seededRandom(seed),
    steps,
    ...(shouldStop === undefined ? {} : { shouldStop }),
    ...(degrees === undefined ? {} : { degrees }),
  })
}

const candidatesOf = (choices: readonly ServingChoice[]): readonly ServingChoice[] =>
  kindsFirst(distinct(choices.filter(({ assignment }) => assignment.feasible)))

/** The best of each way to divide. */
function distinct(choices: readonly ServingChoice[]): readonly ServingChoice[] {
  const seen = new Set<string>()
  return choices.filter((choice) => {
    const key = keyOf(choice)
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

/** The best of every kind before the second best of any: the cost model's errors are alike among plans that are. */
function kindsFirst(choices: readonly ServingChoice[]): readonly ServingChoice[] {
  const seen = new Set<string>()
  const first = choices.filter((choice) => !seen.has(kindOf(choice)) && seen.add(kindOf(choice)))
  return [...first, ...choices.filter((choice) => !first.includes(choice))]
}

interface Judged {
  readonly choice: ServingChoice
  readonly plan: ServingPlan
  readonly rejected: readonly RejectedOption[]
}

function judgedBest(
  choices: readonly ServingChoice[],
  describe: (choice: ServingChoice) => ServingPlan,
  workload: ServingWorkload,
  { judge, judged = 6, shouldStop }: ServingPlanning,
): Judged {
  const first = { choice: choices[0]!, plan: describe(choices[0]!), rejected: [] }
  if (judge === undefined) return first
  const rejected: RejectedOption[] = []
  let best: Judged | null = null
  let bestWorth = Number.NEGATIVE_INFINITY
  for (const choice of choices.slice(0, judged)) {
    if (best !== null && shouldStop?.() === true) break
    const { plan, meets } = playedWithin(choice, describe, judge, workload)
    const worth = worthOf(plan, workload) - (meets ? 0 : 1e12)
    if (best === null || worth > bestWorth) {
      if (best !== null) rejected.push(playedWorse(best, workload))
      best = { choice, plan, rejected: [] }
      bestWorth = worth
    } else rejected.push(playedWorse({ choice, plan, rejected: [] }, workload))
    if (workload.goal === 'cost' && meets) break
  }
  return { ...best!, rejected }
}

/** As high a rate as the simulation bears within the targets, if the rate is ours to choose. */
function playedWithin(
  choice: ServingChoice,
  describe: (choice: ServingChoice) => ServingPlan,
  judge: (plan: ServingPlan) => SimulatedServing,
  workload: ServingWorkload,
): { readonly plan: ServingPlan; readonly meets: boolean } {
  let here: ServingChoice = choice
  for (let round = 0; ; round += 1) {
    const described = describe(here)
    const simulated = judge(described)
    const meets = meetsTargets(simulated, described, workload)
    const next =
      workload.goal === 'throughput' && !meets && round < lowerings ? atShare(here, lowered, workload) : null
    if (next === null) {
      const { ttftMs, tpotMs } = workload
      const missed =
        ttftMs === null && tpotMs === null
          ? 'The simulation serves fewer requests a second than the cost model promises.'
          : 'The simulation does not meet the load and the targets that the cost model promises.'
      return {
        plan: { ...described, simulated, notes: meets ? described.notes : [...described.notes, missed] },
        meets,
      }
    }
    here = next
  }
}

function meetsTargets(simulated: SimulatedServing, plan: ServingPlan, workload: ServingWorkload): boolean {
  const { ttftMs, tpotMs } = workload
  return (
    (ttftMs === null || simulated.ttftMs.mean <= ttftMs * tolerance) &&
    (tpotMs === null || simulated.tpotMs.mean <= tpotMs * tolerance) &&
    // A queue that grows without end answers fewer than come.
    simulated.requestsPerS >= plan.predicted.requestsPerS * 0.9
  )
}

/** The same pipelines under less load. */
function atShare(choice: ServingChoice, share: number, workload: ServingWorkload): ServingChoice | null {
  const rate = choice.assignment.requestsPerS * share
  if (workload.requestsPerS !== null && rate < workload.requestsPerS) return null
  const assigned = choice.assignment.assigned.flatMap((each) => {
    const state = each.group.form.pipeline.at(each.state.requestsPerS * share, each.role)
    return state === null ? [] : [{ ...each, state }]
  })
  if (choice.roles === 'together') return { ...choice, assignment: summed(assigned, workload) }
  const of = (role: 'prefill' | 'decode') =>
    summed(
      assigned.filter((each) => each.role === role),
      workload,
    )
  const ttftMs = of('prefill').ttftMs + (choice.handOver?.addedMs ?? 0)
  const assignment = {
    ...choice.assignment,
    assigned,
    requestsPerS: rate,
    ttftMs,
    tpotMs: of('decode').tpotMs,
    score: rate,
  }
  return { ...choice, assignment }
}

function worthOf({ simulated, predicted }: ServingPlan, { goal, outputTokens }: ServingWorkload): number {
  if (goal === 'cost') return -predicted.pricePerHour
  if (goal === 'throughput') return simulated!.requestsPerS
  return -(simulated!.ttftMs.mean + outputTokens.mean * simulated!.tpotMs.mean)
}

const playedWorse = ({ choice, plan }: Judged, workload: ServingWorkload): RejectedOption => {
  const { simulated } = plan
  const { goal } = workload
  const why =
    goal === 'cost'
      ? `${show(plan.predicted.pricePerHour)} USD/h, and its simulated targets were missed or its price is higher`
      : goal === 'throughput'
        ? `simulated ${show(simulated!.requestsPerS)} requests/s within the targets`
        : `simulated ${show(simulated!.ttftMs.mean)} ms TTFT and ${show(simulated!.tpotMs.mean)} ms TPOT`
  return { option: nameOfChoice(choice), why }
}

/** The best of every other kind of plan, with what it was predicted to do. */
function rejectedOf(
  choices: readonly ServingChoice[],
  chosen: ServingChoice,
  workload: ServingWorkload,
): readonly RejectedOption[] {
  const seen = new Set([kindOf(chosen)])
  return choices.flatMap((choice) => {
    if (seen.has(kindOf(choice))) return []
    seen.add(kindOf(choice))
    const { requestsPerS, ttftMs, tpotMs, pricePerHour } = figuresOf(choice.assignment, workload)
    const why = {
      throughput: `predicted ${show(requestsPerS)} requests/s`,
      cost: `predicted ${show(pricePerHour)} USD/h`,
      latency: `predicted ${show(ttftMs)} ms TTFT and ${show(tpotMs)} ms TPOT`,
    }[workload.goal]
    return [{ option: nameOfChoice(choice), why }]
  })
}
