import type { Random } from '@deos/domain'
import { checkTask, mostStages, searchDtFm } from '../dt-fm/index.ts'
import { forecastStep, type StepForecast, stepAtLeastS } from './forecast.ts'
import type { LayerCosts } from './layer-costs.ts'
import type { StepOptions, TrainingPlan, TrainingStage } from './plan.ts'

export interface Planned {
  readonly plan: TrainingPlan
  readonly forecast: StepForecast
}

/** As Megatron-LM runs: 1F1B, waiting for what it sends, gradients in fp32 round a ring behind the pipeline. */
export const megatronOptions: StepOptions = {
  schedule: '1f1b',
  overlap: false,
  exchange: 'ring',
  exchangeEarly: false,
  nextStepEarly: false,
  gradientBytesPerParameter: 4,
  activationBytesPerElement: 2,
  stepsPerExchange: 1,
  rematerialise: false,
  extraInFlight: 0,
}

/** As DT-FM's own system runs: GPipe that sends while it computes, gradients in fp32 to shards behind the pipeline. */
export const dtFmOptions: StepOptions = {
  ...megatronOptions,
  schedule: 'gpipe',
  overlap: true,
  exchange: 'sharded',
}

/** Equal layers in each stage, as both baselines divide. */
export function equalStages(
  layers: number,
  stages: number,
  rows: readonly (readonly number[])[],
): readonly TrainingStage[] {
  return rows.map((devices, at) => ({
    first: Math.floor((at * layers) / stages),
    end: Math.floor(((at + 1) * layers) / stages),
    devices,
  }))
}

/** Devices in order: stage i holds the i-th run of them, as Megatron-LM assigns ranks. */
export const inRankOrder = (devices: number, stages: number): readonly (readonly number[])[] => {
  const replicas = Math.floor(devices / stages)
  return Array.from({ length: stages }, (_, stage) =>
    Array.from({ length: replicas }, (_, replica) => stage * replicas + replica),
  )
}

/** Divisors of the number of devices that are no more than the layers. */
export const stageCounts = (devices: number, layers: number): readonly number[] =>
  Array.from({ length: Math.min(devices, layers) }, (_, at) => at + 1).filter(
    (count) => devices % count === 0,
  )

/** The plan of a list, or the one known before, that is quickest within memory; full rematerialisation is tried where plans do not fit without. */
export function bestOf(
  costs: LayerCosts,
  plans: readonly TrainingPlan[],
  known: Planned | null = null,
): Planned | null {
  let best = known
  for (const each of plans) {
    if (best !== null && stepAtLeastS(costs, each) >= best.forecast.stepS) continue
    for (const rematerialise of [false, true]) {
      const plan = { ...each, options: { ...each.options, rematerialise } }
      const forecast = forecastStep(costs, plan)
      if (!forecast.fits) continue
      if (best === null || forecast.stepS < best.forecast.stepS) best = { plan, forecast }
      break
    }
  }
  return best
}

/**
 * Megatron-LM with its best pipeline and data-parallel degrees. Tensor parallelism between these devices is left out: it
 * exchanges activations four times a layer, where a pipeline does so twice a stage.
 */
export function planMegatron(
  costs: LayerCosts,
  ways: readonly StepOptions[] = [megatronOptions],
): Planned | null {
  const devices = costs.fleet.devices.length
  const { layers } = costs.work.shape
  const plans = stageCounts(devices, layers).flatMap((count) => {
    const stages = equalStages(layers, count, inRankOrder(devices, count))
    return ways.map((options) => ({ stages, options }))
  })
  return bestOf(costs, plans)
}

export interface DtFmPlanning {
  readonly stages: number
  readonly random: Random
  readonly steps: number
  readonly restarts: number
}

/** DT-FM: placement by its own cost model, equal layers, its own way of running or others. */
export function planDtFm(
  costs: LayerCosts,
  search: DtFmPlanning,
  ways: readonly StepOptions[] = [dtFmOptions],
): Planned | null {
  const rows = dtFmRows(costs, search, ways[0]!)
  if (rows === null) return null
  const stages = equalStages(costs.work.shape.layers, search.stages, rows)
  return bestOf(
    costs,
    ways.map((options) => ({ stages, options })),
  )
}

/** Placement alone: for each stage, the devices of its replicas. */
export function dtFmRows(
  costs: LayerCosts,
  { stages, random, steps, restarts }: DtFmPlanning,
  options: StepOptions,
): readonly (readonly number[])[] | null {
  const { fleet, work } = costs
  const replicas = fleet.devices.length / stages
  if (!Number.isInteger(replicas) || stages > mostStages) return null
  const { layers } = work.shape
  const task = checkTask({
    network: fleet.network,
    stages,
    replicas,
    gradientBytes: (costs.parameters[layers]! * options.gradientBytesPerParameter) / stages,
    activationBytes:
      (costs.handedOver * options.activationBytesPerElement * work.globalBatch) /
      (replicas * work.microbatch),
  })
  return searchDtFm(task, { steps, restarts, random }).pipelines
}
