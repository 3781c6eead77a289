/** Plans of the planner, played. Start at {@link simulatePlan}. */
export { type CompareOptions, type ServingBaseline, servingBaselines } from './compare-serving.ts'
export { drawLength, drawRequests } from './draw-requests.ts'
export {
  type Goodput,
  type GoodputSearch,
  goodputOf,
  type RequestSpread,
  type ServiceTargets,
  serviceAt,
} from './goodput.ts'
export { judgedRequests, judgingBy } from './judging.ts'
export {
  type BatchingPolicy,
  type PlanSetting,
  type PlayedPlan,
  type PlayedReplica,
  usualChunkTokens,
} from './plan-fleet.ts'
export type { DrawnLoad, PlayedRequests } from './play-drawn.ts'
export { type PredictedPlan, playSteadily } from './play-steadily.ts'
export {
  type PlanFault,
  type PlanSimulation,
  type PlayedServing,
  playRequests,
  simulatePlan,
} from './simulate-plan.ts'
export { type ExpectedLoad, type SteadyBudget, steadyRequests } from './steady-requests.ts'
