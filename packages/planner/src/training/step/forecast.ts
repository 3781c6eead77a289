import { memoryBytes } from '../../devices/index.ts'
import { exchangeSeconds, gatherSeconds } from './exchange.ts'
import type { LayerCosts } from './layer-costs.ts'
import { stageMemory } from './memory.ts'
import { type Pipeline, type PipelineRun, runPipeline } from './pipeline.ts'
import {
  inFlightOf,
  microbatchesOf,
  type StepOptions,
  type TrainingPlan,
  type TrainingStage,
} from './plan.ts'

export interface StageForecast {
  readonly layers: readonly [number, number]
  /** All microbatches, on its slowest device. */
  readonly computeS: number
  /** One microbatch to the next stage on the worst link, delay included. */
  readonly hopS: number
  readonly exchangeS: number
  readonly memoryBytes: number
  /** Part of the pipeline's time in which it computes nothing. */
  readonly bubble: number
}

export interface StepForecast {
  readonly stepS: number
  readonly tokensPerS: number
  readonly pipelineS: number
  /** What gradient exchange adds behind the pipeline. */
  readonly exposedExchangeS: number
  readonly fits: boolean
  readonly stages: readonly StageForecast[]
}

/**
 * Seconds below which no step of a plan can be: a stage's arithmetic on its slowest device and what of its exchange cannot
 * hide, and all microbatches over the slowest link between stages.
 */
export function stepAtLeastS(costs: LayerCosts, { stages, options }: TrainingPlan): number {
  const microbatches = microbatchesOf(costs.work, stages[0]!.devices.length)
  const bounds = stages.map((stage, at) => {
    const { first, end, devices } = stage
    const computeS = microbatches * Math.max(...devices.map((device) => costs.stageS(device, first, end)))
    const exchangeS = exchangeSeconds(costs, stage, options)
    const hidden = options.schedule === 'zero bubble' && options.exchangeEarly
    const shownS = hidden ? exchangeS - hiddenS(costs, stage, computeS / 3, exchangeS) : exchangeS
    const next = stages[at + 1]
    const sendS = (device: number, replica: number) =>
      next === undefined ? 0 : hop(costs, options, device, next.devices[replica]!).sendS
    return Math.max(computeS + shownS, microbatches * Math.max(...devices.map(sendS)))
  })
  return Math.max(...bounds)
}

/**
 * Plays one training step of a plan: every pipeline by itself, then the exchange of gradients in every stage. Where the
 * next step may begin early, a step takes as long as from one to the next when all are alike: until the last stage is
 * ready to begin again as much after the first one as it did before.
 */
export function forecastStep(costs: LayerCosts, plan: TrainingPlan): StepForecast {
  const { stages, options } = plan
  const { work } = costs
  const replicas = stages[0]!.devices.length
  const runs = playAll(Array.from({ length: replicas }, (_, replica) => pipelineOf(costs, plan, replica)))
  const shared = stages.map(({ devices }) => sharers(stages, devices))
  const lastS = shared.map((those) => Math.max(...runs.flatMap((run) => those.map((at) => run.finishS[at]!))))
  const firstS = shared.map((those) =>
    options.nextStepEarly ? Math.min(...runs.flatMap((run) => those.map((at) => run.startS[at]!))) : 0,
  )
  const pipelineS = Math.max(...lastS.map((last, at) => last - firstS[at]!))
  const exchangeS = stages.map((stage) => exchangeSeconds(costs, stage, options))
  const endS = shared.map((those, at) => {
    const tailS = those.length > 1 ? 0 : Math.min(...runs.map((run) => run.tailS[at]!))
    const summedS =
      those.reduce((sum, each) => sum + exchangeS[each]!, 0) -
      hiddenS(costs, stages[at]!, tailS, exchangeS[at]!)
    return (options.exchangeEarly ? lastS[at]! - firstS[at]! : pipelineS) + summedS
  })
  const exposedExchangeS = Math.max(0, Math.max(...endS) - pipelineS)
  const own = stages.map((_, stage) => stageMemory(costs, plan, stage))
  const memory = shared.map((those) => those.reduce((sum, stage) => sum + own[stage]!, 0))
  const stepS = pipelineS + exposedExchangeS
  return {
    stepS,
    tokensPerS: (work.globalBatch * work.sequenceTokens) / stepS,
    pipelineS,
    exposedExchangeS,
    fits: stages.every(({ devices }, at) =>
      devices.every((device) => memory[at]! <= memoryBytes(costs.fleet.devices[device]!)),
    ),
    stages: stages.map(({ first, end }, at) => {
      const computeS = Math.max(...runs.map((run) => run.busyS[at]!))
      const busyS = Math.max(
        ...runs.map((run) => shared[at]!.reduce((sum, each) => sum + run.busyS[each]!, 0)),
      )
      return {
        layers: [first, end],
        computeS,
        hopS: Math.max(0, ...runs.map((_, replica) => hopOf(costs, plan, replica, at))),
        exchangeS: exchangeS[at]!,
        memoryBytes: memory[at]!,
        bubble: 1 - busyS / pipelineS,
      }
    }),
  }
}

/**
 * What a stage can exchange while it still computes weight gradients: it finishes them layer by layer, and exchanges each
 * layer's behind it, that of the fewest parameters last.
 */
function hiddenS(costs: LayerCosts, { first, end }: TrainingStage, tailS: number, exchangeS: number): number {
  const { parameters } = costs
  let fewest = Number.POSITIVE_INFINITY
  for (let layer = first; layer < end; layer += 1) {
    fewest = Math.min(fewest, parameters[layer + 1]! - parameters[layer]!)
  }
  const behindFirst = tailS * (1 - 1 / (end - first))
  const beforeLast = exchangeS * (1 - fewest / (parameters[end]! - parameters[first]!))
  return Math.min(behindFirst, beforeLast)
}

/** Stages that the same devices hold, by number. */
const sharers = (stages: readonly TrainingStage[], devices: readonly number[]): readonly number[] =>
  stages.flatMap((other, at) =>
    other.devices === devices || other.devices.every((device, replica) => device === devices[replica])
      ? [at]
      : [],
  )

/** Pipelines over the same kinds of devices and links run alike, and are played once. */
function playAll(pipelines: readonly Pipeline[]): readonly PipelineRun[] {
  const played = new Map<string, PipelineRun>()
  return pipelines.map((pipeline) => {
    const key = JSON.stringify([pipeline.stages, pipeline.hops])
    const run = played.get(key) ?? runPipeline(pipeline)
    played.set(key, run)
    return run
  })
}

function hopOf(costs: LayerCosts, { stages, options }: TrainingPlan, replica: number, stage: number): number {
  const next = stages[stage + 1]
  if (next === undefined) return 0
  const { sendS, delayS } = hop(costs, options, stages[stage]!.devices[replica]!, next.devices[replica]!)
  return sendS + delayS
}

function hop(costs: LayerCosts, options: StepOptions, from: number, to: number) {
  const { network } = costs.fleet
  const pair = from * network.devices + to
  const bytes = costs.handedOver * options.activationBytesPerElement
  return { sendS: bytes / network.bytesPerS[pair]!, delayS: network.delayS[pair]! }
}

/** A third of both passes is forward; of the rest, half is of weights. What is computed anew comes on top. */
export function pipelineOf(costs: LayerCosts, { stages, options }: TrainingPlan, replica: number): Pipeline {
  const microbatches = microbatchesOf(costs.work, stages[0]!.devices.length)
  return {
    microbatches,
    schedule: options.schedule,
    overlap: options.overlap,
    stages: stages.map(({ first, end, devices }, at) => {
      const computeS = costs.stageS(devices[replica]!, first, end)
      const passesS = Math.max(computeS, gatherSeconds(costs, stages[at]!, options))
      return {
        device: sharers(stages, devices)[0]!,
        forwardS: passesS / 3,
        backwardS: passesS * (options.rematerialise ? 1 : 2 / 3),
        weightGradientS: passesS / 3,
        inFlight: inFlightOf(options, microbatches, stages.length - at),
      }
    }),
    hops: stages
      .slice(1)
      .map((next, at) => hop(costs, options, stages[at]!.devices[replica]!, next.devices[replica]!)),
  }
}
