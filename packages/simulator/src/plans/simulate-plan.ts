import { seededRandom } from '@deos/domain'
import type { ServingRequest, SimulatedServing } from '@deos/planner'
import { SimulationInputError } from '../errors.ts'
import type { Outage } from '../serving/outages.ts'
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
  /** Machines that are lost, and from when on; `forMs` is `null` if they do not come back. Default none. */
  readonly faults?: readonly PlanFault[]
}

export interface PlanFault {
  readonly machine: string
  readonly atMs: number
  readonly forMs: number | null
}

/** With faults, what became of requests because of them. */
export interface PlayedServing extends SimulatedServing {
  readonly faults?: {
    /** How often one began anew, its tokens so far being part of its prompt. */
    readonly restarted: number
    /** They waited for machines that never came back. */
    readonly unanswered: number
  }
}

const warmUp = 1 / 3
/** Nothing in time, but behind everything that happens at the same moment. */
const gatherMs = 1e-6

/**
 * Plays a plan under its workload. Where prompts are computed apart, the pipelines that answer get each request when its
 * prompt is computed and handed over, as the median takes. A replica of which a machine is lost answers nothing until
 * that is back; its requests begin anew on others, or wait.
 *
 * @throws SimulationInputError if the plan does not belong to the fleet, or a fault to the plan
 */
export function simulatePlan(
  plan: PlayedPlan,
  setting: PlanSetting,
  { requestsPerS, seed, requests, faults = [] }: PlanSimulation,
): PlayedServing {
  checkFaults(faults, plan)
  const drawn = drawRequests(setting.workload, requestsPerS, requests, seededRandom(seed))
  const play = (role: PlayedPlan['replicas'][number]['role'], arrivals: readonly ServingRequest[]) => {
    const replicas = plan.replicas.filter((replica) => replica.role === role)
    const { fleet, routes, members } = fleetOfPlan(plan, replicas, setting)
    const first = arrivals[Math.floor(arrivals.length * warmUp)]!.atMs
    const window = { fromMs: first, toMs: Math.max(first + 1, arrivals.at(-1)!.atMs) }
    const router = new ReplicaRouter(routes)
    const outages = outagesOf(faults, members)
    const run = { fleet, router, workload: { kind: 'open' as const, arrivals }, window, gatherMs, outages }
    return { result: simulateServing(run), fleet }
  }
  if (plan.handOver === null) {
    const { result } = play('together', drawn)
    return withFaults(figures(drawn, [result], 0), faults, [result])
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
  const results = [prompts.result, answers.result]
  return withFaults(figures(drawn, results, addedMs), faults, results)
}

function checkFaults(faults: readonly PlanFault[], { replicas }: PlayedPlan): void {
  const used = new Set(
    replicas.flatMap(({ stages }) =>
      stages.flatMap(({ accelerators }) => accelerators.map(({ machine }) => machine)),
    ),
  )
  for (const [at, { machine }] of faults.entries()) {
    if (used.has(machine)) continue
    throw new SimulationInputError(
      `faults[${at}].machine`,
      machine,
      `one that the plan uses: ${[...used].join(', ')}`,
    )
  }
}

/** Of the stages that lose a member. */
const outagesOf = (
  faults: readonly PlanFault[],
  members: readonly (readonly string[])[],
): readonly Outage[] =>
  faults.flatMap(({ machine: name, atMs, forMs }) =>
    members.flatMap((names, machine) =>
      names.includes(name)
        ? [{ machine, fromMs: atMs, toMs: atMs + (forMs ?? Number.POSITIVE_INFINITY) }]
        : [],
    ),
  )

function withFaults(
  simulated: SimulatedServing,
  faults: readonly PlanFault[],
  results: readonly ServingResult[],
): PlayedServing {
  if (faults.length === 0) return simulated
  const sum = (of: (result: ServingResult) => number) => results.reduce((total, each) => total + of(each), 0)
  const restarted = sum((result) => result.restarted)
  return { ...simulated, faults: { restarted, unanswered: sum((result) => result.turnedAway) } }
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
