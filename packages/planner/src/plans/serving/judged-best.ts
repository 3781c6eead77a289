import { summed } from './assignment.ts'
import { bestRate } from './best-rate.ts'
import { nameOfChoice, show } from './choice-names.ts'
import type { ServingChoice } from './choices.ts'
import type { RejectedOption, ServingPlan, SimulatedServing } from './serving-plan.ts'
import type { ServingWorkload } from './workload.ts'

/** Plays a plan at a rate. Where it has been played before, at another one, what that gave is a good guess. */
export type ServingJudge = (
  plan: ServingPlan,
  requestsPerS: number,
  before: SimulatedServing | null,
) => SimulatedServing

export interface Judging {
  readonly describe: (choice: ServingChoice) => ServingPlan
  readonly judge: ServingJudge
  /** How many choices are played. */
  readonly judged: number
  readonly workload: ServingWorkload
  readonly shouldStop: () => boolean
}

/** A choice that was played. */
export interface Judged {
  readonly choice: ServingChoice
  readonly plan: ServingPlan & { readonly simulated: SimulatedServing }
  /** Whether it does what it promises. */
  readonly meets: boolean
}

/** So many of those with the most goodput as promised are played at other rates, too. */
const mostAtOtherRates = 2
const rounds = { mostDown: 5, mostUp: 4 }
/** The mean of a simulation scatters; a target is met up to this factor. */
const tolerance = 1.02
/** Of the requests that come. */
const leastServed = 0.95
const missed = 'The simulation does not meet the load and the targets that the cost model promises.'

/** The best of the first choices by simulation, and what the others did. */
export function judgedBest(
  choices: readonly ServingChoice[],
  judging: Judging,
): { readonly best: Judged; readonly rejected: readonly RejectedOption[] } {
  const { workload, judged, shouldStop } = judging
  const played: Judged[] = []
  for (const choice of choices.slice(0, judged)) {
    if (played.length > 0 && shouldStop()) break
    const each = playedAsPromised(choice, null, judging)
    played.push(each)
    if (workload.goal === 'cost' && each.meets) break
  }
  const byWorth = (a: Judged, b: Judged) => worthOf(b, workload) - worthOf(a, workload)
  played.sort(byWorth)
  if (workload.goal === 'throughput') {
    for (let at = 0; at < Math.min(mostAtOtherRates, played.length) && !shouldStop(); at += 1) {
      played[at] = playedAtBestRate(played[at]!, judging)
    }
    played.sort(byWorth)
  }
  const [best, ...others] = played
  return { best: best!, rejected: others.map((each) => rejectedOf(each, workload)) }
}

/** At the rate that it promises. */
function playedAsPromised(
  choice: ServingChoice,
  before: SimulatedServing | null,
  { describe, judge, workload }: Judging,
): Judged {
  const described = describe(choice)
  const { requestsPerS } = described.predicted
  const simulated = judge(described, requestsPerS, before)
  const meets = meetsTargets(simulated, requestsPerS, workload)
  const simulatedMost = workload.goal === 'throughput' ? simulated : null
  const notes = meets ? described.notes : [...described.notes, missed]
  return { choice, plan: { ...described, simulated, simulatedMost, notes }, meets }
}

/** At the rate with the most goodput. A lower one is a promise that is kept; beyond it, the plan is the same. */
function playedAtBestRate(promised: Judged, judging: Judging): Judged {
  const { choice, plan } = promised
  let last = plan.simulated
  const atMore = (share: number): Judged => {
    const simulatedMost = judging.judge(plan, plan.predicted.requestsPerS * share, last)
    return { ...promised, plan: { ...plan, simulatedMost } }
  }
  const atLess = (share: number): Judged | null => {
    const lower = atShare(choice, share, judging.workload)
    return lower === null ? null : playedAsPromised(lower, last, judging)
  }
  const tryAt = (share: number) => {
    const judged = share > 1 ? atMore(share) : share < 1 ? atLess(share) : promised
    if (judged === null) return null
    last = judged.plan.simulatedMost!
    const requestsPerS = judged.plan.predicted.requestsPerS * Math.max(1, share)
    return { judged, worth: last.goodputPerS, attained: last.goodputPerS / requestsPerS }
  }
  return bestRate(tryAt, rounds)!.judged
}

function meetsTargets(simulated: SimulatedServing, requestsPerS: number, workload: ServingWorkload): boolean {
  const { ttftMs, tpotMs } = workload
  return (
    (ttftMs === null || simulated.ttftMs.mean <= ttftMs * tolerance) &&
    (tpotMs === null || simulated.tpotMs.mean <= tpotMs * tolerance) &&
    // A queue that grows without end answers fewer than come.
    simulated.requestsPerS >= requestsPerS * leastServed
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

/** What misses its targets is worth less than whatever meets them, unless only what meets them counts. */
function worthOf({ plan, meets }: Judged, { goal, outputTokens }: ServingWorkload): number {
  const { simulated, simulatedMost, predicted } = plan
  if (goal === 'throughput') return simulatedMost!.goodputPerS
  const missed = meets ? 0 : 1e12
  if (goal === 'cost') return -predicted.pricePerHour - missed
  return -(simulated.ttftMs.mean + outputTokens.mean * simulated.tpotMs.mean) - missed
}

function rejectedOf({ choice, plan, meets }: Judged, { goal }: ServingWorkload): RejectedOption {
  const { simulated, simulatedMost, predicted } = plan
  const why = {
    throughput: () =>
      `simulated ${show(simulatedMost!.goodputPerS)} of ${show(simulatedMost!.requestsPerS)} requests/s within the targets`,
    cost: () =>
      `${show(predicted.pricePerHour)} USD/h${meets ? '' : ', and the simulation misses load or targets'}`,
    latency: () =>
      `simulated ${show(simulated.ttftMs.mean)} ms TTFT and ${show(simulated.tpotMs.mean)} ms TPOT`,
  }[goal]
  return { option: nameOfChoice(choice), why: why() }
}
