/** Plans of the planner, played. Start at {@link simulatePlan}. */
export { type CompareOptions, type ServingBaseline, servingBaselines } from './compare-serving.ts'
export { drawLength, drawRequests } from './draw-requests.ts'
export type { PlanSetting, PlayedPlan, PlayedReplica } from './plan-fleet.ts'
export { type PlanFault, type PlanSimulation, type PlayedServing, simulatePlan } from './simulate-plan.ts'
