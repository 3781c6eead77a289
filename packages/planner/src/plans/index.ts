/**
 * Plans for any fleet, model and workload, which explain themselves. Start at {@link planServing}.
 */
export { PlanInputError } from './errors.ts'
export {
  assumedLinks,
  type ComputeFleet,
  canonicalFleet,
  type FleetLinks,
  type FleetMachine,
  insideLinkOf,
  LinkLookup,
  type LinkRate,
  plainFleet,
  plainMachine,
} from './fleet.ts'
export { forecastingPlacer } from './placer/forecasting-placer.ts'
export { planningPlacer } from './placer/planning-placer.ts'
export { forecastReplica, type HandOver, type ReplicaForecast } from './placer/replica-forecast.ts'
export { type UsualRequests, usualRequests } from './placer/ring-forecast.ts'
export { bestRate } from './serving/best-rate.ts'
export type { ServingJudge } from './serving/judged-best.ts'
export { kvBytesOf } from './serving/kv-bytes.ts'
export type { Migration } from './serving/migration.ts'
export type { Role } from './serving/pipeline.ts'
export { planServing, type ServingPlanning, servingCandidates } from './serving/plan-serving.ts'
export { type Replan, type ReplanOptions, replanServing } from './serving/replan.ts'
export type {
  BoundReport,
  Fix,
  RejectedOption,
  ReplicaReport,
  ServingFigures,
  ServingOutcome,
  ServingPlan,
  ServingRefusal,
  SimulatedServing,
  StageReport,
} from './serving/serving-plan.ts'
export { type Bound, UnitCosts } from './serving/unit-costs.ts'
export { keyOfKind, tensorOnly, type UnitLayout, unitKind, worstLink } from './serving/units.ts'
export {
  checkServingWorkload,
  type Lengths,
  precisions,
  type ServingGoal,
  type ServingRequest,
  type ServingWorkload,
  type WeightPrecision,
} from './serving/workload.ts'
export { allReduceMs, partOfLayer, tensorDegrees } from './tensor-parallel.ts'
export { type TrainingBaseline, trainingBaselines } from './training/compare-training.ts'
export { checkTrainingJob, type TrainingJob } from './training/job.ts'
export { planTrainingRun, type TrainingPlanning } from './training/plan-training-run.ts'
export { type PlayableTraining, replayTraining } from './training/replay-training.ts'
export type {
  TrainingFigures,
  TrainingOutcome,
  TrainingRefusal,
  TrainingRunPlan,
  TrainingStageReport,
} from './training/training-plan.ts'
