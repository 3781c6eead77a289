/** One training step of a plan played through, our planner over it, and the baselines in the same simulator. */

export {
  bestOf,
  type DtFmPlanning,
  dtFmOptions,
  inRankOrder,
  megatronOptions,
  type Planned,
  planDtFm,
  planMegatron,
  stageCounts,
} from './baselines.ts'
export { type Pipeline, type PipelineRun, runPipeline, type Schedule, type WorkSpan } from './pipeline.ts'
export {
  balancedStages,
  exactOptions,
  planTraining,
  type TrainingSearch,
  waysToRun,
} from './search.ts'
export {
  forecastStep,
  type GroupTerms,
  LayerCosts,
  microbatchesOf,
  pipelineOf,
  type StageForecast,
  type StateBytes,
  type StepForecast,
  type StepOptions,
  type TrainingFleet,
  type TrainingPlan,
  type TrainingStage,
  type TrainingWork,
} from './step.ts'
export { forecastZero3, type ZeroForecast, type ZeroOptions } from './zero.ts'
