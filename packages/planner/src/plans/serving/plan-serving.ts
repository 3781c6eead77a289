import { seededRandom } from '@deos/domain'
import type { ModelShape } from '../../models/index.ts'
import { type ComputeFleet, canonicalFleet } from '../fleet.ts'
import { keyOf, kindOf, nameOfChoice, show } from './choice-names.ts'
import { type ServingChoice, servingChoices } from './choices.ts'
import { describeChoice, figuresOf } from './describe.ts'
import { judgedBest, type ServingJudge } from './judged-best.ts'
import { refusalOf } from './refusal.ts'
import { servingBound } from './serving-bound.ts'
import type { RejectedOption, ServingOutcome, ServingPlan } from './serving-plan.ts'
import { checkServingWorkload, type ServingWorkload } from './workload.ts'

export interface ServingPlanning {
  /** Plays plans; without it, the cost model alone decides. */
  readonly judge?: ServingJudge
  /** How many of the best plans are played. */
  readonly judged?: number
  /** Changes tried by local search; more is slower and better. */
  readonly steps?: number
  readonly seed?: number
  readonly shouldStop?: () => boolean
  /** Tensor-parallel degrees to try, the same for all machines; without them, all and one for each class. */
  readonly degrees?: readonly number[]
}

const mostRejected = 8
const usualSteps = 600
const usuallyJudged = 6
const mostLeftOut = 6

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
  const { judge, judged = usuallyJudged, shouldStop = () => false } = planning
  const chosen =
    judge === undefined
      ? { best: { choice: feasible[0]!, plan: describe(feasible[0]!) }, rejected: [] }
      : judgedBest(feasible, { describe, judge, judged, workload, shouldStop })
  const { choice, plan } = chosen.best
  const played = new Set(chosen.rejected.map(({ option }) => option))
  const others = rejectedOf(feasible, choice, workload).filter(({ option }) => !played.has(option))
  return { ...plan, rejected: [...chosen.rejected, ...others].slice(0, mostRejected) }
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

/**
 * Few machines are also searched without each of them: a search that has more to choose from does not always end with
 * something as good.
 */
function searched(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  { seed = 1, steps = usualSteps, shouldStop, degrees }: ServingPlanning,
): readonly ServingChoice[] {
  const search = (machines: ComputeFleet['machines']) =>
    servingChoices(shape, { ...fleet, machines }, workload, {
      random: seededRandom(seed),
      steps,
      ...(shouldStop === undefined ? {} : { shouldStop }),
      ...(degrees === undefined ? {} : { degrees }),
    })
  const { machines } = fleet
  const found = search(machines)
  if (steps === 0 || machines.length === 1 || machines.length > mostLeftOut) return found
  const fewer = machines.flatMap((left) => search(machines.filter((machine) => machine !== left)))
  return [...found, ...fewer].sort((a, b) => b.assignment.score - a.assignment.score)
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
