import {
  type Accelerator,
  type Efficiency,
  layerTime,
  memoryBytes,
  type NumberFormat,
} from '../../devices/index.ts'
import {
  type ModelShape,
  operatorGraph,
  parameterCounts,
  storedElementsPerToken,
} from '../../models/index.ts'
import { TrainingRequestError } from '../errors.ts'
import type { DeviceNetwork } from '../network.ts'
import { type Pipeline, type PipelineRun, runPipeline, type Schedule } from './pipeline.ts'

export interface TrainingFleet {
  readonly devices: readonly Accelerator[]
  readonly network: DeviceNetwork
  readonly efficiency: Efficiency
  readonly format: NumberFormat
}

export interface TrainingWork {
  readonly shape: ModelShape
  /** Sequences in one step. */
  readonly globalBatch: number
  readonly sequenceTokens: number
  /** Sequences in one microbatch. */
  readonly microbatch: number
}

/** Freedoms that change what is sent; those that change what is learnt say so in the plan's notes. */
export interface StepOptions {
  readonly schedule: Schedule
  readonly overlap: boolean
  /** `sharded`: each member owns a part and talks to every other one; `ring`: round the group. */
  readonly exchange: 'sharded' | 'ring'
  /** A stage exchanges gradients as soon as it has computed them, or when the whole pipeline has. */
  readonly exchangeEarly: boolean
  readonly gradientBytesPerParameter: number
  readonly activationBytesPerElement: number
  /** Steps between exchanges: above 1, replicas train apart in between (local SGD), which is not the same training. */
  readonly stepsPerExchange: number
  readonly rematerialise: boolean
  /** Microbatches kept beyond what 1F1B needs, to bear long links. */
  readonly extraInFlight: number
}

/** Stages along the pipeline. */
export interface TrainingStage {
  readonly first: number
  readonly end: number
  /** Device of each replica. */
  readonly devices: readonly number[]
}

export interface TrainingPlan {
  readonly stages: readonly TrainingStage[]
  readonly options: StepOptions
}

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

/** fp16 weights and gradients, fp32 weights and two moments (Rajbhandari et al. 2020, arXiv:1910.02054, section 3.1). */
const stateBytesPerParameter = 16
const halfBytes = 2

/** What layers cost on each device; made once for a fleet and a model. */
export class LayerCosts {
  readonly parameters: Float64Array
  readonly storedBytes: Float64Array
  readonly storedBytesWhenRematerialised: Float64Array
  readonly #passesS = new Map<Accelerator, Float64Array>()

  constructor(
    readonly fleet: TrainingFleet,
    readonly work: TrainingWork,
  ) {
    checkWork(fleet, work)
    const { shape, microbatch, sequenceTokens } = work
    const counts = parameterCounts(shape)
    const own = counts.layers.map(({ all }) => all)
    own[0] = own[0]! + counts.embedding
    own[shape.layers - 1] = own[shape.layers - 1]! + counts.head
    this.parameters = sums(own)
    const bytes = microbatch * sequenceTokens * halfBytes
    const stored = (how: 'none' | 'full') =>
      sums(own.map((_, layer) => storedElementsPerToken(shape, layer, how) * bytes))
    this.storedBytes = stored('none')
    this.storedBytesWhenRematerialised = stored('full')
  }

  /** Forward and backward pass of one microbatch through the first n layers; embedding and head with the ends. */
  passesS(device: number): Float64Array {
    const { fleet, work } = this
    const accelerator = fleet.devices[device]!
    const known = this.#passesS.get(accelerator)
    if (known !== undefined) return known
    const { shape, microbatch, sequenceTokens } = work
    const graph = operatorGraph(shape, { kind: 'training', sequences: microbatch, tokens: sequenceTokens })
    const { efficiency, format } = fleet
    const times = graph.map((layer) => layerTime(layer, accelerator, { efficiency, format }).timeMs / 1e3)
    const layers = times.slice(1, -1)
    layers[0] = layers[0]! + times[0]!
    layers[shape.layers - 1] = layers[shape.layers - 1]! + times.at(-1)!
    const result = sums(layers)
    this.#passesS.set(accelerator, result)
    return result
  }

  stageS(device: number, first: number, end: number): number {
    const passes = this.passesS(device)
    return passes[end]! - passes[first]!
  }

  /** Elements that one microbatch hands over between stages. */
  get handedOver(): number {
    return this.work.microbatch * this.work.sequenceTokens * this.work.shape.hiddenSize
  }
}

function checkWork(fleet: TrainingFleet, work: TrainingWork): void {
  for (const key of ['globalBatch', 'sequenceTokens', 'microbatch'] as const) {
    if (!Number.isInteger(work[key]) || work[key] < 1) {
      throw new TrainingRequestError(`work.${key}`, work[key], 'a whole number from 1')
    }
  }
  if (fleet.devices.length === 0 || fleet.devices.length !== fleet.network.devices) {
    throw new TrainingRequestError(
      'fleet.devices',
      `${fleet.devices.length} devices`,
      `the ${fleet.network.devices} devices of the network, at least one`,
    )
  }
}

function sums(values: readonly number[]): Float64Array {
  const result = new Float64Array(values.length + 1)
  for (const [at, value] of values.entries()) result[at + 1] = result[at]! + value
  return result
}

export const microbatchesOf = ({ globalBatch, microbatch }: TrainingWork, replicas: number): number =>
  Math.ceil(globalBatch / (replicas * microbatch))

/** Seconds below which no step of a plan can be: a stage's arithmetic on its slowest device, and its exchange behind it. */
export function stepAtLeastS(costs: LayerCosts, { stages, options }: TrainingPlan): number {
  const bounds = stages.map((stage) => {
    const { first, end, devices } = stage
    const slowestS = Math.max(...devices.map((device) => costs.stageS(device, first, end)))
    return slowestS * microbatchesOf(costs.work, devices.length) + exchangeSeconds(costs, stage, options)
  })
  return Math.max(...bounds)
}

/** Plays one training step of a plan: every pipeline by itself, then the exchange of gradients in every stage. */
export function forecastStep(costs: LayerCosts, plan: TrainingPlan): StepForecast {
  const { stages, options } = plan
  const { work } = costs
  const replicas = stages[0]!.devices.length
  const runs = playAll(Array.from({ length: replicas }, (_, replica) => pipelineOf(costs, plan, replica)))
  const finishS = stages.map((_, stage) => Math.max(...runs.map((run) => run.finishS[stage]!)))
  const pipelineS = Math.max(...finishS)
  const exchangeS = stages.map((stage) => exchangeSeconds(costs, stage, options))
  const endS = finishS.map((finish, at) => (options.exchangeEarly ? finish : pipelineS) + exchangeS[at]!)
  const exposedExchangeS = Math.max(0, Math.max(...endS) - pipelineS)
  const memory = stages.map((_, stage) => stageMemory(costs, plan, stage))
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
      return {
        layers: [first, end],
        computeS,
        hopS: Math.max(0, ...runs.map((_, replica) => hopOf(costs, plan, replica, at))),
        exchangeS: exchangeS[at]!,
        memoryBytes: memory[at]!,
        bubble: 1 - computeS / pipelineS,
      }
    }),
  }
}

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
function pipelineOf(costs: LayerCosts, { stages, options }: TrainingPlan, replica: number): Pipeline {
  const microbatches = microbatchesOf(costs.work, stages[0]!.devices.length)
  return {
    microbatches,
    schedule: options.schedule,
    overlap: options.overlap,
    stages: stages.map(({ first, end, devices }, at) => {
      const passesS = costs.stageS(devices[replica]!, first, end)
      return {
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

const inFlightOf = (options: StepOptions, microbatches: number, behind: number): number =>
  options.schedule === 'gpipe' ? microbatches : Math.min(microbatches, behind + options.extraInFlight)

function stageMemory(costs: LayerCosts, { stages, options }: TrainingPlan, stage: number): number {
  const { first, end, devices } = stages[stage]!
  const states = (costs.parameters[end]! - costs.parameters[first]!) * stateBytesPerParameter
  const inFlight = inFlightOf(options, microbatchesOf(costs.work, devices.length), stages.length - stage)
  const full = costs.storedBytes[end]! - costs.storedBytes[first]!
  const kept = costs.storedBytesWhenRematerialised[end]! - costs.storedBytesWhenRematerialised[first]!
  const activations = options.rematerialise ? kept * inFlight + full / (end - first) : full * inFlight
  return states + activations
}

/** Seconds of one exchange, spread over the steps between two. */
function exchangeSeconds(
  costs: LayerCosts,
  { first, end, devices }: TrainingStage,
  options: StepOptions,
): number {
  const members = devices.length
  if (members === 1) return 0
  const { network } = costs.fleet
  const bytes = (costs.parameters[end]! - costs.parameters[first]!) * options.gradientBytesPerParameter
  const partS = (from: number, to: number) => {
    const pair = from * network.devices + to
    return network.delayS[pair]! + bytes / members / network.bytesPerS[pair]!
  }
  const eachS = devices.map((device, at) =>
    options.exchange === 'sharded'
      ? devices.reduce((sum, other) => (other === device ? sum : sum + 2 * partS(device, other)), 0)
      : 2 * (members - 1) * partS(device, devices[(at + 1) % members]!),
  )
  return Math.max(...eachS) / options.stepsPerExchange
}
