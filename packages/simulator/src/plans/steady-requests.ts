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

/** A third of them warms up: twice as many as are under way at once, of which nearly all have ended by then. */
const timesUnderWay = 6

/**
 * How many requests have to be played until a plan answers as many as come. With fewer, it is still filling up while it
 * is measured, and seems to serve less than it does.
 *
 * @param least - so many in any case
 * @param mostEvents - arrivals of prompts and steps at stages that may be played; beyond it fewer requests are, and what
 * is served then is less than what the plan would serve in the long run
 */
export function steadyRequests(
  { replicas, predicted }: ExpectedLoad,
  { outputTokens }: Pick<ServingWorkload, 'outputTokens'>,
  requestsPerS: number,
  { least, mostEvents }: { readonly least: number; readonly mostEvents: number },
): number {
  const { ttftMs, tpotMs } = predicted
  const underWay = (requestsPerS * (ttftMs + outputTokens.mean * tpotMs)) / 1000
  const answering = replicas.filter(({ role }) => role !== 'prefill')
  const shares = answering.reduce((sum, { share }) => sum + share, 0)
  const stages = answering.reduce((sum, each) => sum + each.share * each.stages.length, 0) / shares
  const most = mostEvents / (stages * (outputTokens.mean + 1))
  return Math.max(least, Math.ceil(Math.min(timesUnderWay * underWay, most)))
}
