import { seededRandom } from '@deos/domain'
import type { ServingRequest, SimulatedServing } from '@deos/planner'
import { percentile, type ServingResult } from '../serving/serving-result.ts'
import { simulateServing } from '../serving/simulate-serving.ts'
import { drawRequests } from './draw-requests.ts'
import { fleetOfPlan, type PlanSetting, type PlayedPlan } from './plan-fleet.ts'
import { ReplicaRouter } from './replica-router.ts'

export interface PlanSimulation {
  readonly requestsPerS: number
  readonly seed: number
  /** How many requests are played; the first third only warms up. */
  readonly requests: number
}

const warmUp = 1 / 3
/** Nothing in time, but behind everything that happens at the same moment. */
const gatherMs = 1e-6

/**
 * Plays a plan under its workload. Where prompts are computed apart, the pipelines that answer get each request when its
 * prompt is computed and handed over, as the median takes.
 *
 * @throws SimulationInputError if the plan does not belong to the fleet
 */
export function simulatePlan(
  plan: PlayedPlan,
  setting: PlanSetting,
  { requestsPerS, seed, requests }: PlanSimulation,
): SimulatedServing {
  const drawn = drawRequests(setting.workload, requestsPerS, requests, seededRandom(seed))
  const play = (role: PlayedPlan['replicas'][number]['role'], arrivals: readonly ServingRequest[]) => {
    const replicas = plan.replicas.filter((replica) => replica.role === role)
    const { fleet, routes } = fleetOfPlan(plan, replicas, setting)
    const first = arrivals[Math.floor(arrivals.length * warmUp)]!.atMs
    const window = { fromMs: first, toMs: Math.max(first + 1, arrivals.at(-1)!.atMs) }
    const router = new ReplicaRouter(routes)
    const run = { fleet, router, workload: { kind: 'open' as const, arrivals }, window, gatherMs }
    return { result: simulateServing(run), fleet }
  }
  if (plan.handOver === null) {
    const { result } = play('together', drawn)
    return figures(drawn, [result], 0)
  }
  const { addedMs } = plan.handOver
  const prompts = play(
    'prefill',
    drawn.map((request) => ({ ...request, outputTokens: 0 })),
  )
  const laterMs = percentile(prompts.result.promptMs, 0.5) + addedMs
  const answers = play(
    'decode',
    drawn.map((request) => ({ ...request, atMs: request.atMs + laterMs })),
  )
  return figures(drawn, [prompts.result, answers.result], addedMs)
}

function figures(
  drawn: readonly ServingRequest[],
  results: readonly ServingResult[],
  addedMs: number,
): SimulatedServing {
  const [first, last] = [results[0]!, results.at(-1)!]
  const counted = drawn.slice(Math.floor(drawn.length * warmUp))
  const meanOutput = counted.reduce((sum, { outputTokens }) => sum + outputTokens, 0) / counted.length
  return {
    requestsPerS: last.decodeTokensPerSecond / meanOutput,
    tokensPerS: last.decodeTokensPerSecond,
    ttftMs: spread(first.promptMs, addedMs),
    tpotMs: spread(last.decodeMs, 0),
    busy: results.flatMap(({ busy }) => busy),
    kvPeak: results.flatMap(({ kvPeak }) => kvPeak),
    finished: last.finishedRequests,
    events: results.reduce((sum, { events }) => sum + events, 0),
  }
}

function spread(ascending: Float64Array, addedMs: number) {
  const mean = ascending.reduce((sum, value) => sum + value, 0) / Math.max(1, ascending.length)
  return {
    mean: mean + addedMs,
    p50: percentile(ascending, 0.5) + addedMs,
    p99: percentile(ascending, 0.99) + addedMs,
  }
}
