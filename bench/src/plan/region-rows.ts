import { seededRandom } from '@deos/domain'
import {
  dtFmOptions,
  forecastZero3,
  LayerCosts,
  megatronOptions,
  type Planned,
  planDtFm,
  planMegatron,
  planTraining,
  type StepOptions,
  type TrainingFleet,
  type TrainingWork,
  waysToRun,
} from '@deos/planner'
import { published, type RegionFleet } from './region-fleets.ts'

const stages = 8
const search = { placementSteps: 1500, polishSteps: 400 }
/** Bytes of n bits, with a 16-bit scale for every 128 values. */
const quantised = (bits: number): number => bits / 8 + 2 / 128

/**
 * What may be sent instead of gradients in fp32 and activations in fp16. All but the first change what is computed; those
 * but the last exchange in every step, as published.
 */
export const freedoms = {
  exact: {},
  halfGradients: { gradientBytesPerParameter: 2 },
  int8: { gradientBytesPerParameter: quantised(8), activationBytesPerElement: quantised(8) },
  /** Gradients with Hadamard rotation and error feedback. */
  int4Gradients: { gradientBytesPerParameter: quantised(4), activationBytesPerElement: quantised(8) },
  /** Activations rotated as well. */
  int4: { gradientBytesPerParameter: quantised(4), activationBytesPerElement: quantised(4) },
  int8AndEightLocalSteps: {
    gradientBytesPerParameter: quantised(8),
    activationBytesPerElement: quantised(8),
    stepsPerExchange: 8,
  },
  int4AndEightLocalSteps: {
    gradientBytesPerParameter: quantised(4),
    activationBytesPerElement: quantised(8),
    stepsPerExchange: 8,
  },
} as const satisfies Readonly<Record<string, Partial<StepOptions>>>
export type Freedom = keyof typeof freedoms
export const freedomNames = [
  'exact',
  'halfGradients',
  'int8',
  'int4Gradients',
  'int4',
  'int8AndEightLocalSteps',
  'int4AndEightLocalSteps',
] as const satisfies readonly Freedom[]

/** Seconds of a step, each as its planner finds it. */
export interface Row {
  readonly oursS: number
  readonly zero3S: number
  readonly megatronS: number
  readonly dtFmS: number
  /** Our planner with the same freedoms on the same devices in one data centre. */
  readonly togetherS: number
  /** The same with nothing sent in fewer bits and an exchange in every step, as a data centre trains. */
  readonly togetherExactS: number
}

const dtFmTerms = () => ({ stages, random: seededRandom(1), steps: 20_000, restarts: 4 })
const secondsOf = (planned: Planned | null): number => planned?.forecast.stepS ?? Number.POSITIVE_INFINITY

export const ours = (fleet: TrainingFleet, work: TrainingWork, fixed: Partial<StepOptions> = {}) =>
  planTraining(new LayerCosts(fleet, work), { ...search, random: seededRandom(1), fixed })

/** Every baseline as its authors run it; ours with what is allowed. */
export function faithfulRow({ scattered, together }: RegionFleet, work: TrainingWork, freedom: Freedom): Row {
  const costs = new LayerCosts(scattered, work)
  return {
    oursS: secondsOf(ours(scattered, work, freedoms[freedom])),
    zero3S: forecastZero3(scattered, work, { bytesPerParameter: 2, stepsPerExchange: 1 }).stepS,
    megatronS: secondsOf(planMegatron(costs)),
    dtFmS: secondsOf(planDtFm(costs, dtFmTerms())),
    togetherS: secondsOf(ours(together, work, freedoms[freedom])),
    togetherExactS: secondsOf(ours(together, work)),
  }
}

/** Every baseline sends what we send and as seldom, in the best of the ways in which we run plans. */
export function freeRow({ scattered, together }: RegionFleet, work: TrainingWork, freedom: Freedom): Row {
  const fixed: Partial<StepOptions> = freedoms[freedom]
  const costs = new LayerCosts(scattered, work)
  const ways = [megatronOptions, dtFmOptions].map((options) => ({ ...options, ...fixed }))
  ways.push(...waysToRun(work.globalBatch, fixed))
  const { gradientBytesPerParameter = 2, stepsPerExchange = 1 } = fixed
  return {
    oursS: secondsOf(ours(scattered, work, fixed)),
    zero3S: zero3S(scattered, work, Math.min(2, gradientBytesPerParameter), stepsPerExchange),
    megatronS: secondsOf(planMegatron(costs, ways)),
    dtFmS: secondsOf(planDtFm(costs, dtFmTerms(), ways)),
    togetherS: secondsOf(ours(together, work, fixed)),
    togetherExactS: secondsOf(ours(together, work)),
  }
}

/** Local steps need the whole model on every device; where it does not fit, gradients go in every step. */
function zero3S(
  fleet: TrainingFleet,
  work: TrainingWork,
  bytesPerParameter: number,
  stepsPerExchange: number,
): number {
  const local = forecastZero3(fleet, work, { bytesPerParameter, stepsPerExchange })
  return local.fits
    ? local.stepS
    : forecastZero3(fleet, work, { bytesPerParameter, stepsPerExchange: 1 }).stepS
}

/** From DT-FM's way of running in rank order, one freedom after the other. */
export function ablation({ scattered }: RegionFleet) {
  const costs = new LayerCosts(scattered, published)
  const gpipe = { ...dtFmOptions, overlap: false }
  const atEnd = { exchangeEarly: false, nextStepEarly: false }
  const with_ = (fixed: Partial<StepOptions>) => secondsOf(ours(scattered, published, fixed))
  const rows: readonly (readonly [string, string, number])[] = [
    ['', 'rank order, GPipe, waits for what it sends', secondsOf(planMegatron(costs, [gpipe]))],
    ['placement', "DT-FM's placement", secondsOf(planDtFm(costs, dtFmTerms(), [gpipe]))],
    ['placement', 'our placement, balance and schedule', with_({ overlap: false, ...atEnd })],
    ['overlap', 'stages compute while they send', with_(atEnd)],
    ['overlap', 'each stage exchanges as soon as it ends', with_({ nextStepEarly: false })],
    ['overlap', 'each stage begins the next step when it has its weights', with_({})],
    ['compression', 'gradients in fp16', with_(freedoms.halfGradients)],
    ['compression', 'gradients and activations in int8', with_(freedoms.int8)],
    ['compression', 'gradients in int4', with_(freedoms.int4Gradients)],
    ['compression', 'activations in int4', with_(freedoms.int4)],
    ['fewer synchronisations', 'an exchange every 8 steps', with_(freedoms.int4AndEightLocalSteps)],
  ]
  return rows.map(([kind, what, stepS], at) => ({
    kind,
    what,
    stepS,
    times: at === 0 ? 1 : rows[at - 1]![2] / stepS,
  }))
}

/**
 * Seconds that no plan with equally many replicas in each stage can do with less of, if all links were as quick as the
 * quickest: a stage's average arithmetic and what of its sum of gradients cannot hide behind it, or all its activations
 * over one link. It is loose: only some links are that quick.
 */
export function leastSeconds({ scattered }: RegionFleet, work: TrainingWork, freedom: Freedom) {
  const { gradientBytesPerParameter = 4, activationBytesPerElement = 2 }: Partial<StepOptions> =
    freedoms[freedom]
  const { stepsPerExchange = 1 }: Partial<StepOptions> = freedoms[freedom]
  const costs = new LayerCosts(scattered, work)
  const { layers } = work.shape
  const count = scattered.devices.length
  const finite = scattered.network.bytesPerS.filter(Number.isFinite)
  const bytesPerS = finite.reduce((most, each) => Math.max(most, each), 0)
  const rate = scattered.devices.reduce((sum, _, device) => sum + 1 / costs.stageS(device, 0, layers), 0)
  const computeS = work.globalBatch / work.microbatch / rate
  const rows = []
  for (let depth = 1; depth <= Math.min(layers, count); depth += 1) {
    const replicas = Math.floor(count / depth)
    const parameters = costs.parameters[layers]! / depth
    const summedS =
      (2 * (1 - 1 / replicas) * parameters * gradientBytesPerParameter) / bytesPerS / stepsPerExchange
    const hopsS =
      depth === 1
        ? 0
        : ((work.globalBatch / work.microbatch / replicas) * costs.handedOver * activationBytesPerElement) /
          bytesPerS
    // Weight gradients, a third of the arithmetic, may hide what all layers of a stage but one exchange.
    const hiddenS = depth === layers ? 0 : Math.min(computeS / 3, summedS)
    const stepS = Math.max(computeS + summedS - hiddenS, hopsS)
    rows.push({ stages: depth, stepS, computeS, exchangeS: summedS, hopsS })
  }
  return rows.reduce((least, row) => (row.stepS < least.stepS ? row : least))
}
