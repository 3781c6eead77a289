import type { ServingPlanning } from '@deos/planner'
import type { PlanSetting } from './plan-fleet.ts'
import { playSteadily } from './play-steadily.ts'

/** Of the requests that a plan is played with while plans are compared. */
export const judgedRequests = { least: 160, mostEvents: 400_000 }
/** Of all plays together, after which no other plan is tried: about a second. */
const mostEventsInAll = 6e6

/** Lets the planner play plans, as many as there is time for by the number of events: the same ones each time. */
export function judgingBy(
  setting: PlanSetting,
  { seed }: { readonly seed: number },
): Required<Pick<ServingPlanning, 'judge' | 'shouldStop'>> {
  let events = 0
  return {
    judge(plan, requestsPerS, before) {
      const simulated = playSteadily(plan, setting, { ...judgedRequests, seed, requestsPerS, before })
      events += simulated.events
      return simulated
    },
    shouldStop: () => events > mostEventsInAll,
  }
}
