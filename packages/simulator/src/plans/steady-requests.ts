import type { Role, ServingWorkload } from '@deos/planner'

/** Of a plan, what says how many requests are under way at once. */
export interface ExpectedLoad {
  readonly replicas: readonly {
    readonly role: Role
    readonly share: number
    readonly stages: { readonly length: number }
  }[]
  readonly predicted: { readonly ttftMs: number; readonly tpotMs: number }
}

export interface SteadyBudget {
  /** So many requests in any case. */
  readonly least: number
  /**
   * Arrivals of prompts and steps at stages that may be played. Beyond it fewer requests are, and what is served then is
   * less than what the plan would serve in the long run.
   */
  readonly mostEvents: number
}

/** A third of them warms up: twice as many as are under way at once, of which nearly all have ended by then. */
const timesUnderWay = 6

/**
 * How many requests have to be played until a plan answers as many as come. With fewer, it is still filling up while it
 * is measured, and seems to serve less than it does.
 */
export const steadyRequests = (
  plan: ExpectedLoad,
  workload: Pick<ServingWorkload, 'outputTokens'>,
  requestsPerS: number,
  budget: SteadyBudget,
): number => steadyCount(underWay(plan, workload, requestsPerS), eventsOfOne(plan, workload), budget)

/** The same for so many requests under way at once, each of which takes so many events. */
export const steadyCount = (
  requestsUnderWay: number,
  eventsOfEach: number,
  { least, mostEvents }: SteadyBudget,
): number => Math.max(least, Math.ceil(Math.min(timesUnderWay * requestsUnderWay, mostEvents / eventsOfEach)))

/** Of as many requests as it takes. */
export const eventsOf = (
  plan: ExpectedLoad,
  workload: Pick<ServingWorkload, 'outputTokens'>,
  requestsPerS: number,
): number => timesUnderWay * underWay(plan, workload, requestsPerS) * eventsOfOne(plan, workload)

/** By Little's law. */
const underWay = (
  { predicted: { ttftMs, tpotMs } }: ExpectedLoad,
  { outputTokens }: Pick<ServingWorkload, 'outputTokens'>,
  requestsPerS: number,
): number => (requestsPerS * (ttftMs + outputTokens.mean * tpotMs)) / 1000

function eventsOfOne(
  { replicas }: ExpectedLoad,
  { outputTokens }: Pick<ServingWorkload, 'outputTokens'>,
): number {
  const answering = replicas.filter(({ role }) => role !== 'prefill')
  const shares = answering.reduce((sum, { share }) => sum + share, 0)
  const stages = answering.reduce((sum, each) => sum + each.share * each.stages.length, 0) / shares
  return stages * (outputTokens.mean + 1)
}
