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
export { forecastStep, pipelineOf, type StageForecast, type StepForecast } from './forecast.ts'
export { LayerCosts } from './layer-costs.ts'
export { type Pipeline, type PipelineRun, runPipeline, type Schedule, type WorkSpan } from './pipeline.ts'
export { microbatchesOf, type StepOptions, type TrainingPlan, type TrainingStage } from './plan.ts'
export {
  balancedStages,
  exactOptions,
  planTraining,
  type TrainingSearch,
  waysToRun,
} from './search.ts'
export type { GroupTerms, StateBytes, TrainingFleet, TrainingWork } from './work.ts'
export { forecastZero3, type ZeroForecast, type ZeroOptions } from './zero.ts'
