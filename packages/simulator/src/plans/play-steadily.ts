import type { SimulatedServing } from '@deos/planner'
import { steadyFlow } from './goodput-within.ts'
import { type PlanSetting, type PlayedPlan, type PlayedReplica, usualChunkTokens } from './plan-fleet.ts'
import { playRequests, simulatedOf } from './simulate-plan.ts'
import { eventsOfOne, type SteadyBudget, steadySeconds } from './steady-requests.ts'
import { type Served, type ServedTimes, steadyLoad, untilSteady } from './until-steady.ts'

export interface PredictedPlan extends PlayedPlan {
  readonly replicas: readonly (PlayedReplica & ServedTimes)[]
  readonly predicted: ServedTimes & { readonly requestsPerS: number }
}

export interface SteadyPlay extends SteadyBudget {
  readonly seed: number
  /** Default what the plan promises. */
  readonly requestsPerS?: number
  /** At another rate: a better guess of its times than the prediction. Default none. */
  readonly before?: SimulatedServing | null
}

/** Parts of the replicas of either role that differ by more than this do not stand for the whole. */
const mostUneven = 0.05

/**
 * Plays a plan from the middle of its work until it is steady (`untilSteady`). Where that takes more than may be played, a
 * part of its replicas is played with their share of the load, every kind in proportion, and stands for all. Rates are
 * those of the whole plan then, shares of busy time those of the part.
 *
 * @throws SimulationInputError if the plan does not belong to the fleet
 */
export function playSteadily(
  plan: PredictedPlan,
  setting: PlanSetting,
  { seed, least, mostEvents, requestsPerS = plan.predicted.requestsPerS, before = null }: SteadyPlay,
): SimulatedServing {
  const { workload } = setting
  const times = before === null ? plan.predicted : { ttftMs: before.ttftMs.mean, tpotMs: before.tpotMs.mean }
  const slowest = slowestOf(plan.replicas)
  const secondsOf = (expected: ServedTimes) => steadySeconds(slowestOf([expected, slowest]))
  const expectedEvents = requestsPerS * secondsOf(times) * eventsOfOne(plan, workload)
  const { replicas, load } = partOf(plan.replicas, Math.ceil(expectedEvents / mostEvents))
  const played = { ...plan, replicas }
  const rate = requestsPerS * load
  let events = 0
  const play = (expected: Served) => {
    const asked = { requestsPerS: rate, seed, least, seconds: secondsOf(expected) }
    const { result, came, meanOutput } = playRequests(played, setting, {
      ...steadyLoad(expected, asked, workload),
      chunkTokens: usualChunkTokens,
    })
    events += result.events
    const { promptsPerS, requestsPerS: served } = steadyFlow(result, { rate, came, meanOutput })
    const simulated = simulatedOf(result, workload, served / load, (served * meanOutput) / load)
    return { simulated, promptsPerS, ttftMs: simulated.ttftMs.mean, tpotMs: simulated.tpotMs.mean }
  }
  const { simulated } = untilSteady({ ...times, promptsPerS: rate }, play)
  return { ...simulated, events }
}

/** One of so many of each role, every kind in proportion, and their share of the load. */
function partOf(
  replicas: readonly PlayedReplica[],
  every: number,
): { readonly replicas: readonly PlayedReplica[]; readonly load: number } {
  const whole = { replicas, load: 1 }
  if (every <= 1) return whole
  const roles = (['together', 'prefill', 'decode'] as const).flatMap((role) => {
    const alike = replicas.filter((each) => each.role === role)
    if (alike.length === 0) return []
    const ranked = alike.sort((a, b) => a.share - b.share || a.stages.length - b.stages.length)
    const first = Math.floor((Math.min(every, ranked.length) - 1) / 2)
    const part = ranked.filter((_, at) => at % every === first)
    return [{ part, load: sharesOf(part) / sharesOf(ranked) }]
  })
  const loads = roles.map(({ load }) => load)
  const load = Math.min(...loads)
  return Math.max(...loads) > load * (1 + mostUneven)
    ? whole
    : { replicas: roles.flatMap(({ part }) => part), load }
}

/** What is quick is through while the slowest have not begun. */
const slowestOf = (each: readonly ServedTimes[]): ServedTimes => ({
  ttftMs: Math.max(...each.map(({ ttftMs }) => ttftMs)),
  tpotMs: Math.max(...each.map(({ tpotMs }) => tpotMs)),
})

const sharesOf = (replicas: readonly PlayedReplica[]): number =>
  replicas.reduce((sum, { share }) => sum + share, 0)
