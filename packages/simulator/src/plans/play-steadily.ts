import type { SimulatedServing } from '@deos/planner'
import type { PlanSetting, PlayedPlan, PlayedReplica } from './plan-fleet.ts'
import { simulatePlan } from './simulate-plan.ts'
import { type ExpectedLoad, eventsOf, type SteadyBudget, steadyRequests } from './steady-requests.ts'

export interface PredictedPlan extends PlayedPlan {
  readonly predicted: ExpectedLoad['predicted'] & { readonly requestsPerS: number }
}

/**
 * Plays a plan at the rate that it promises until it is steady. Where that takes more than may be played, a part of its
 * replicas is played with their share of the load, every kind in proportion, and stands for all: replicas that compute
 * their own prompts share nothing. Rates are those of the whole plan then, shares of busy time those of the part.
 *
 * @throws SimulationInputError if the plan does not belong to the fleet
 */
export function playSteadily(
  plan: PredictedPlan,
  setting: PlanSetting,
  { seed, ...budget }: SteadyBudget & { readonly seed: number },
): SimulatedServing {
  const { workload } = setting
  const { requestsPerS } = plan.predicted
  const every = Math.ceil(eventsOf(plan, workload, requestsPerS) / budget.mostEvents)
  const replicas = partOf(plan.replicas, every)
  const part = replicas.reduce((sum, { share }) => sum + share, 0)
  const whole = plan.replicas.reduce((sum, { share }) => sum + share, 0)
  const load = replicas === plan.replicas ? 1 : part / whole
  const played = { ...plan, replicas }
  const rate = requestsPerS * load
  const requests = steadyRequests(played, workload, rate, budget)
  const simulated = simulatePlan(played, setting, { requestsPerS: rate, seed, requests })
  return {
    ...simulated,
    requestsPerS: simulated.requestsPerS / load,
    tokensPerS: simulated.tokensPerS / load,
  }
}

/** One of so many, of each kind in proportion; all where prompts are computed apart, for then they share the load. */
function partOf(replicas: readonly PlayedReplica[], every: number): readonly PlayedReplica[] {
  if (every <= 1 || replicas.some(({ role }) => role !== 'together')) return replicas
  const ranked = [...replicas].sort((a, b) => a.share - b.share || a.stages.length - b.stages.length)
  const first = Math.floor((Math.min(every, ranked.length) - 1) / 2)
  return ranked.filter((_, at) => at % every === first)
}
