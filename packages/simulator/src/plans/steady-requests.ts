import type { Role, ServingWorkload } from '@deos/planner'
import type { ServedTimes } from './until-steady.ts'

/** Of a plan, what says how many requests are under way at once. */
export interface ExpectedLoad {
  readonly replicas: readonly {
    readonly role: Role
    readonly share: number
    readonly stages: { readonly length: number }
  }[]
  readonly predicted: ServedTimes
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
export function steadyRequests(
  plan: ExpectedLoad,
  workload: Pick<ServingWorkload, 'outputTokens'>,
  requestsPerS: number,
  { least, mostEvents }: SteadyBudget,
): number {
  const steady = timesUnderWay * requestsUnderWay(plan, workload, requestsPerS)
  return Math.max(least, Math.ceil(Math.min(steady, mostEvents / eventsOfOne(plan, workload))))
}

/** A third of the time warms up. */
const thirds = 3
/** Of a third, beside the time of a prompt: enough for batches to form as they will stay. */
const stepsOfThird = 6

/** How long to play what begins in the middle of its work. */
export const steadySeconds = ({ ttftMs, tpotMs }: ServedTimes): number =>
  (thirds * (ttftMs + stepsOfThird * tpotMs)) / 1000

/** By Little's law. */
const requestsUnderWay = (
  { predicted: { ttftMs, tpotMs } }: ExpectedLoad,
  { outputTokens }: Pick<ServingWorkload, 'outputTokens'>,
  requestsPerS: number,
): number => (requestsPerS * (ttftMs + outputTokens.mean * tpotMs)) / 1000

/** Arrivals of a request at stages. */
export function eventsOfOne(
  { replicas }: Pick<ExpectedLoad, 'replicas'>,
  { outputTokens }: Pick<ServingWorkload, 'outputTokens'>,
): number {
  const answering = replicas.filter(({ role }) => role !== 'prefill')
  const shares = answering.reduce((sum, { share }) => sum + share, 0)
  const stages = answering.reduce((sum, each) => sum + each.share * each.stages.length, 0) / shares
  return stages * (outputTokens.mean + 1)
}
