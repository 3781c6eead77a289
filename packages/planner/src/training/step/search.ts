import type { Random } from '@deos/domain'
import { bestOf, dtFmRows, inRankOrder, type Planned, stageCounts } from './baselines.ts'
import { exchangeSeconds } from './exchange.ts'
import { forecastStep } from './forecast.ts'
import type { LayerCosts } from './layer-costs.ts'
import { microbatchesOf, type StepOptions, type TrainingPlan, type TrainingStage } from './plan.ts'

export interface TrainingSearch {
  readonly random: Random
  /** Exchanges of two devices that are tried in DT-FM's model, and then in the played step. */
  readonly placementSteps: number
  readonly polishSteps: number
  /** What must not be touched: `stepsPerExchange` above all. */
  readonly fixed: Partial<StepOptions>
}

/** Sent as exactly as the training computes: gradients in fp32, activations in fp16, in every step. */
export const exactOptions: StepOptions = {
  schedule: '1f1b',
  overlap: true,
  exchange: 'sharded',
  exchangeEarly: true,
  nextStepEarly: true,
  gradientBytesPerParameter: 4,
  activationBytesPerElement: 2,
  stepsPerExchange: 1,
  rematerialise: false,
  extraInFlight: 0,
}

/**
 * Our training planner: for every number of stages, placements by rank, by DT-FM's model and by that model with
 * communication as a running pipeline sees it; layers divided by the speed of each stage's slowest device; schedules,
 * exchanges and numbers of microbatches in flight tried in the played step; and the best plan's devices exchanged while
 * that helps.
 *
 * @returns `null` if nothing fits into memory
 */
export function planTraining(costs: LayerCosts, search: TrainingSearch): Planned | null {
  const devices = costs.fleet.devices.length
  let best: Planned | null = null
  for (const count of stageCounts(devices, costs.work.shape.layers)) {
    for (const rows of placements(costs, search, count)) {
      const plans = variants(costs, balancedStages(costs, rows), search)
      best = bestOf(costs, plans, best)
    }
  }
  return best === null ? null : polish(costs, best, search)
}

function placements(
  costs: LayerCosts,
  search: TrainingSearch,
  stages: number,
): readonly (readonly (readonly number[])[])[] {
  const devices = costs.fleet.devices.length
  const ranked = inRankOrder(devices, stages)
  const terms = { stages, random: search.random, steps: search.placementSteps, restarts: 2 }
  const plain = dtFmRows(costs, terms, exactOptions)
  const microbatches = microbatchesOf(costs.work, devices / stages)
  const hopsOverlap = {
    ...exactOptions,
    activationBytesPerElement: 2 / Math.max(1, Math.min(stages, microbatches)),
  }
  const running = dtFmRows(costs, terms, hopsOverlap)
  const alike = bySpeed(costs).map((order) => ranked.map((row) => row.map((place) => order[place]!)))
  return [ranked, ...alike, plain, running].filter((rows) => rows !== null)
}

/** Devices by speed, over all and among those that the quickest links join; nothing where all are equally quick. */
function bySpeed(costs: LayerCosts): readonly (readonly number[])[] {
  const { devices, network } = costs.fleet
  if (devices.every((device) => device === devices[0])) return []
  const { layers } = costs.work.shape
  const numbers = devices.map((_, at) => at)
  const seconds = numbers.map((at) => costs.stageS(at, 0, layers))
  const neighbours = numbers.map((at) => {
    const links = numbers.map((other) => (other === at ? 0 : network.bytesPerS[at * devices.length + other]!))
    const quickest = Math.max(...links)
    return Math.min(at, links.indexOf(quickest))
  })
  return [
    numbers.toSorted((a, b) => seconds[a]! - seconds[b]! || a - b),
    numbers.toSorted((a, b) => seconds[b]! - seconds[a]! || a - b),
    numbers.toSorted((a, b) => neighbours[a]! - neighbours[b]! || seconds[a]! - seconds[b]! || a - b),
  ]
}

/** Layers such that the slowest stage is as quick as can be, by bisection over its time. */
export function balancedStages(
  costs: LayerCosts,
  rows: readonly (readonly number[])[],
): readonly TrainingStage[] {
  const { layers } = costs.work.shape
  const slowest = (devices: readonly number[], first: number, end: number) =>
    Math.max(...devices.map((device) => costs.stageS(device, first, end)))
  const divide = (paceS: number): readonly TrainingStage[] | null => {
    let first = 0
    const stages = rows.map((devices, at) => {
      const most = layers - (rows.length - 1 - at)
      let end = first + 1
      while (end < most && slowest(devices, first, end + 1) <= paceS) end += 1
      const stage = { first, end, devices }
      first = end
      return stage
    })
    const good =
      first === layers &&
      stages.every(({ first: from, end, devices }) => slowest(devices, from, end) <= paceS)
    return good ? stages : null
  }
  let high = Math.max(...rows.map((devices) => slowest(devices, 0, layers)))
  let low = 0
  let best = divide(high)
  for (let round = 0; round < bisections; round += 1) {
    const middle = (low + high) / 2
    const stages = divide(middle)
    if (stages === null) low = middle
    else {
      high = middle
      best = stages
    }
  }
  if (best === null) throw new Error(`${layers} layers do not divide over ${rows.length} stages.`)
  return best
}

const bisections = 30
const moreInFlight = [0, 4, 8, 16, 32, 64]

function variants(
  costs: LayerCosts,
  stages: readonly TrainingStage[],
  { fixed }: TrainingSearch,
): readonly TrainingPlan[] {
  const microbatches = microbatchesOf(costs.work, stages[0]!.devices.length)
  return waysToRun(microbatches, fixed, [quickestExchange(costs, stages, fixed)]).map((options) => ({
    stages,
    options,
  }))
}

/** Of ways to exchange, the one whose slowest stage is quickest. */
function quickestExchange(
  costs: LayerCosts,
  stages: readonly TrainingStage[],
  fixed: Partial<StepOptions>,
): StepOptions['exchange'] {
  const slowestS = exchanges.map((exchange) =>
    Math.max(
      ...stages.map((stage) => exchangeSeconds(costs, stage, { ...exactOptions, ...fixed, exchange })),
    ),
  )
  return exchanges[slowestS.indexOf(Math.min(...slowestS))]!
}

const exchanges = ['direct', 'ring', 'sharded', 'regional'] as const

/** Schedules, exchanges and microbatches in flight that are worth a try. */
export const waysToRun = (
  microbatches: number,
  fixed: Partial<StepOptions>,
  kinds: readonly StepOptions['exchange'][] = exchanges,
): readonly StepOptions[] =>
  (['1f1b', 'zero bubble'] as const).flatMap((schedule) =>
    moreInFlight
      .filter((extra) => extra === 0 || extra < microbatches)
      .flatMap((extraInFlight) =>
        kinds.map((exchange) => ({ ...exactOptions, schedule, extraInFlight, exchange, ...fixed })),
      ),
  )

/** Exchanges two devices or moves a boundary, anywhere, while the played step gets shorter. */
function polish(costs: LayerCosts, start: Planned, { random, polishSteps }: TrainingSearch): Planned {
  let best = start
  for (let step = 0; step < polishSteps; step += 1) {
    const stages =
      step % 2 === 0 ? movedBoundary(best.plan.stages, random) : exchanged(costs, best.plan.stages, random)
    if (stages === null) continue
    const plan = { ...best.plan, stages }
    const forecast = forecastStep(costs, plan)
    if (forecast.fits && forecast.stepS < best.forecast.stepS) best = { plan, forecast }
  }
  return best
}

const draw = (random: Random, count: number): number => Math.floor(random.next() * count)

/** One stage gives a layer to a stage anywhere; those between shift. `null` if it has only one. */
function movedBoundary(stages: readonly TrainingStage[], random: Random): readonly TrainingStage[] | null {
  const from = draw(random, stages.length)
  const to = draw(random, stages.length)
  const sizes = stages.map(({ first, end }) => end - first)
  if (from === to || sizes[from] === 1) return null
  sizes[from] = sizes[from]! - 1
  sizes[to] = sizes[to]! + 1
  let next = 0
  return stages.map(({ devices }, at) => {
    const first = next
    next += sizes[at]!
    return { first, end: next, devices }
  })
}

/** Two devices change places; layers are divided anew where their kinds differ. */
function exchanged(
  costs: LayerCosts,
  stages: readonly TrainingStage[],
  random: Random,
): readonly TrainingStage[] | null {
  const replicas = stages[0]!.devices.length
  const [a, b] = [draw(random, stages.length * replicas), draw(random, stages.length * replicas)]
  const rows = stages.map(({ devices }) => [...devices])
  const [rowA, rowB] = [rows[Math.floor(a / replicas)]!, rows[Math.floor(b / replicas)]!]
  const [first, second] = [rowA[a % replicas]!, rowB[b % replicas]!]
  if (first === second) return null
  rowA[a % replicas] = second
  rowB[b % replicas] = first
  const alike = costs.fleet.devices[first] === costs.fleet.devices[second]
  return alike ? stages.map((stage, at) => ({ ...stage, devices: rows[at]! })) : balancedStages(costs, rows)
}
