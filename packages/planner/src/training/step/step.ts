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
  /** What devices that stand for several accelerators add, by device; nothing if it is not given. */
  readonly groups?: ReadonlyMap<Accelerator, GroupTerms>
}

/** Of several accelerators that work as one device. */
export interface GroupTerms {
  /** Communication among them for one microbatch, forward and backward, layer by layer. */
  readonly layerS: readonly number[]
  /** How often weights, gradients and optimiser states of a layer lie among them. */
  readonly stateCopies: readonly number[]
}

/** Bytes of each parameter. */
export interface StateBytes {
  readonly weights: number
  readonly gradients: number
  readonly optimiser: number
}

export interface TrainingWork {
  readonly shape: ModelShape
  /** Sequences in one step. */
  readonly globalBatch: number
  readonly sequenceTokens: number
  /** Sequences in one microbatch. */
  readonly microbatch: number
  /** As mixed precision with Adam has them if not given. */
  readonly stateBytes?: StateBytes
  /** Of an element of an activation that is kept; 2 if not given. */
  readonly activationBytes?: number
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
  /** What replicas divide among them instead of keeping all of it each: optimiser states, gradients too, weights too. */
  readonly zeroStage?: 0 | 1 | 2 | 3
}

/** Stages along the pipeline; where the same devices appear again they interleave stages. */
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
const mixedAdam: StateBytes = { weights: 2, gradients: 2, optimiser: 12 }
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
    const bytes = microbatch * sequenceTokens * (work.activationBytes ?? halfBytes)
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
    const terms = fleet.groups?.get(accelerator)
    const result = sums(
      terms === undefined ? layers : layers.map((each, layer) => each + terms.layerS[layer]!),
    )
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
  const shared = stages.map(({ devices }) => sharers(stages, devices))
  const finishS = stages.map((_, stage) => Math.max(...runs.map((run) => run.finishS[stage]!)))
  const pipelineS = Math.max(...finishS)
  const exchangeS = stages.map((stage) => exchangeSeconds(costs, stage, options))
  const endS = shared.map((those) => {
    const lastS = options.exchangeEarly ? Math.max(...those.map((at) => finishS[at]!)) : pipelineS
    return lastS + those.reduce((sum, at) => sum + exchangeS[at]!, 0)
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

const inFlightOf = (options: StepOptions, microbatches: number, behind: number): number =>
  options.schedule === 'gpipe' ? microbatches : Math.min(microbatches, behind + options.extraInFlight)

function stageMemory(costs: LayerCosts, { stages, options }: TrainingPlan, stage: number): number {
  const { first, end, devices } = stages[stage]!
  const states = stateBytesOf(costs, stages[stage]!, options)
  const inFlight = inFlightOf(options, microbatchesOf(costs.work, devices.length), stages.length - stage)
  const full = costs.storedBytes[end]! - costs.storedBytes[first]!
  const kept = costs.storedBytesWhenRematerialised[end]! - costs.storedBytesWhenRematerialised[first]!
  const activations = options.rematerialise ? kept * inFlight + full / (end - first) : full * inFlight
  return states + activations
}

/** Weights, gradients and optimiser states on one device, less what replicas divide among them. */
function stateBytesOf(
  { fleet, work, parameters }: LayerCosts,
  { first, end, devices }: TrainingStage,
  { zeroStage = 0 }: StepOptions,
): number {
  const { weights, gradients, optimiser } = work.stateBytes ?? mixedAdam
  const share = (from: number) => (zeroStage >= from ? 1 / devices.length : 1)
  const each = weights * share(3) + gradients * share(2) + optimiser * share(1)
  const copies = fleet.groups?.get(fleet.devices[devices[0]!]!)?.stateCopies
  if (copies === undefined) return (parameters[end]! - parameters[first]!) * each
  let total = 0
  for (let layer = first; layer < end; layer += 1) {
    total += (parameters[layer + 1]! - parameters[layer]!) * copies[layer]!
  }
  return total * each
}

/** ZeRO-3: weights are gathered for the forward and again for the backward pass of every microbatch. */
function gatherSeconds(
  { fleet: { network }, work, parameters }: LayerCosts,
  { first, end, devices }: TrainingStage,
  { zeroStage = 0 }: StepOptions,
): number {
  const members = devices.length
  if (zeroStage < 3 || members === 1) return 0
  const partBytes =
    ((parameters[end]! - parameters[first]!) * (work.stateBytes ?? mixedAdam).weights) / members
  const stepS = devices.map((device, at) => {
    const pair = device * network.devices + devices[(at + 1) % members]!
    return network.delayS[pair]! + partBytes / network.bytesPerS[pair]!
  })
  return 2 * (members - 1) * Math.max(...stepS)
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
