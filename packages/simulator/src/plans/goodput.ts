import { percentile } from '../serving/serving-result.ts'
import type { RequestTimes } from '../serving/simulate-serving.ts'
import type { PlanSetting, PlayedPlan } from './plan-fleet.ts'
import { type PlanSimulation, playRequests } from './simulate-plan.ts'

/** What a request is promised, and how many have to get it. */
export interface ServiceTargets {
  readonly ttftMs: number
  /** Mean of the request's tokens after the first. */
  readonly tpotMs: number
  /** Of all requests, those that get both. */
  readonly share: number
}

export interface Goodput {
  /** Requests that come a second, at the highest rate at which enough of them get what they are promised; 0 if none. */
  readonly requestsPerS: number
  /** At that rate. */
  readonly attained: number
  readonly ttftMs: RequestSpread
  readonly tpotMs: RequestSpread
}

/** Over requests, each counting once. */
export interface RequestSpread {
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
}

export interface GoodputSearch extends Omit<PlanSimulation, 'requestsPerS'> {
  readonly targets: ServiceTargets
  /** Where the search begins. */
  readonly aroundPerS: number
}

/** Until rates differ by so little. */
const precision = 0.03
const mostDoublings = 8
const none: RequestSpread = { mean: Number.NaN, p50: Number.NaN, p90: Number.NaN, p99: Number.NaN }

/** What requests get of a plan at a rate. */
export function serviceAt(
  plan: PlayedPlan,
  setting: PlanSetting,
  targets: ServiceTargets,
  simulation: PlanSimulation,
): Goodput {
  return summed(simulation.requestsPerS, playRequests(plan, setting, simulation).requests, targets)
}

/**
 * The most requests a second of which enough get both targets, as DistServe defines it, by rising the load of the same
 * requests.
 *
 * @see Zhong et al. 2024 (arXiv:2401.09670), section 2
 * @throws SimulationInputError if the plan does not belong to the fleet
 */
export function goodputOf(plan: PlayedPlan, setting: PlanSetting, search: GoodputSearch): Goodput {
  const { targets, aroundPerS, ...simulation } = search
  const at = (requestsPerS: number): Goodput =>
    serviceAt(plan, setting, targets, { ...simulation, requestsPerS })
  const enough = ({ attained }: Goodput) => attained >= targets.share
  let low = 0
  let high = aroundPerS
  let best: Goodput = { requestsPerS: 0, attained: 0, ttftMs: none, tpotMs: none }
  for (let doubling = 0; doubling < mostDoublings; doubling += 1) {
    const tried = at(high)
    if (!enough(tried)) break
    best = tried
    low = high
    high *= 2
  }
  for (let halving = 0; low === 0 && halving < mostDoublings; halving += 1) {
    const tried = at(high / 2)
    if (enough(tried)) {
      best = tried
      low = high / 2
    } else high /= 2
  }
  if (low === 0) return best
  while (high - low > precision * low) {
    const middle = (low + high) / 2
    const tried = at(middle)
    if (enough(tried)) {
      best = tried
      low = middle
    } else high = middle
  }
  return best
}

/** Mean over the tokens of an answer; one of no token has none to wait for. */
const tokenMs = ({ promptedMs, endedMs, outputTokens }: RequestTimes): number =>
  outputTokens === 0 ? 0 : (endedMs - promptedMs) / outputTokens

function summed(
  requestsPerS: number,
  requests: readonly RequestTimes[],
  { ttftMs, tpotMs }: ServiceTargets,
): Goodput {
  const met = requests.filter(
    (each) => each.promptedMs - each.cameMs <= ttftMs && tokenMs(each) <= tpotMs,
  ).length
  return {
    requestsPerS,
    attained: met / requests.length,
    ttftMs: spread(requests.map(({ promptedMs, cameMs }) => promptedMs - cameMs)),
    tpotMs: spread(requests.map(tokenMs)),
  }
}

function spread(values: readonly number[]): RequestSpread {
  const ascending = Float64Array.from(values).sort()
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const of = (share: number) => percentile(ascending, share)
  return { mean, p50: of(0.5), p90: of(0.9), p99: of(0.99) }
}
