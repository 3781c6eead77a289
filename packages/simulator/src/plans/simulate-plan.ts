import type { ServingWorkload, SimulatedServing } from '@deos/planner'
import { SimulationInputError } from '../errors.ts'
import type { Outage } from '../serving/outages.ts'
import { percentile, type ServingResult } from '../serving/serving-result.ts'
import { shareWithinTargets } from './goodput-within.ts'
import { type BatchingPolicy, fleetOfPlan, type PlanSetting, type PlayedPlan } from './plan-fleet.ts'
import { type DrawnLoad, type PlayedRequests, playDrawn } from './play-drawn.ts'
import { ReplicaRouter } from './replica-router.ts'

export interface PlanSimulation extends DrawnLoad, BatchingPolicy {
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

/**
 * Plays a plan under its workload. Where prompts are computed apart, K and V go layer by layer to the pipeline that
 * answers, over the link between the two, one prompt of a pipeline after another; the time to the first token ends when
 * that pipeline has taken the request up. A replica of which a machine is lost answers nothing until that is back; its
 * requests begin anew on others, or wait.
 *
 * @throws SimulationInputError if the plan does not belong to the fleet, or a fault to the plan
 */
export function simulatePlan(
  plan: PlayedPlan,
  setting: PlanSetting,
  simulation: PlanSimulation,
): PlayedServing {
  const { result, meanOutput } = playRequests(plan, setting, simulation)
  const { decodeTokensPerSecond } = result
  return {
    ...simulatedOf(result, setting.workload, decodeTokensPerSecond / meanOutput, decodeTokensPerSecond),
    ...(simulation.faults === undefined || simulation.faults.length === 0
      ? {}
      : { faults: { restarted: result.restarted, unanswered: result.turnedAway } }),
  }
}

export const simulatedOf = (
  result: ServingResult,
  workload: ServingWorkload,
  requestsPerS: number,
  tokensPerS: number,
): SimulatedServing => ({
  requestsPerS,
  goodputPerS: requestsPerS * shareWithinTargets(result, workload),
  tokensPerS,
  ttftMs: spread(result.promptMs),
  tpotMs: spread(result.decodeMs),
  busy: result.busy,
  kvPeak: result.kvPeak,
  finished: result.finishedRequests,
  events: result.events,
})

/** @throws SimulationInputError if the plan does not belong to the fleet, or a fault to the plan */
export function playRequests(
  plan: PlayedPlan,
  setting: PlanSetting,
  { faults = [], ...simulation }: PlanSimulation,
): PlayedRequests {
  checkFaults(faults, plan)
  const { fleet, routes, members } = fleetOfPlan(plan, setting, simulation)
  const outages = outagesOf(faults, members)
  return playDrawn({ fleet, router: new ReplicaRouter(routes), outages }, setting.workload, simulation)
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

function spread(ascending: Float64Array) {
  const mean = ascending.reduce((sum, value) => sum + value, 0) / Math.max(1, ascending.length)
  return { mean, p50: percentile(ascending, 0.5), p99: percentile(ascending, 0.99) }
}
