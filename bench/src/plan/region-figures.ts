import { seededRandom } from '@deos/domain'
import {
  dtFmOptions,
  forecastZero3,
  LayerCosts,
  type Planned,
  planDtFm,
  planMegatron,
  planTraining,
  type StepOptions,
  type TrainingFleet,
  type TrainingWork,
  waysToRun,
} from '@deos/planner'
import { type Figure, measuredFigure } from '../contract.ts'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { published, type RegionFleet, regionFleets } from './region-fleets.ts'

const stages = 8
const search = { placementSteps: 1500, polishSteps: 400 }

/** What is given up for speed; only the first leaves training as it is. */
const freedoms: Readonly<Record<string, Partial<StepOptions>>> = {
  exact: {},
  halfGradients: { gradientBytesPerParameter: 2 },
  int8: { gradientBytesPerParameter: 1, activationBytesPerElement: 1 },
  int8AndEightLocalSteps: {
    gradientBytesPerParameter: 1,
    activationBytesPerElement: 1,
    stepsPerExchange: 8,
  },
}

interface Row {
  readonly oursS: number
  readonly zero3S: number
  readonly megatronS: number
  readonly dtFmS: number
  /** Our planner with the same freedoms on the same devices in one data centre. */
  readonly togetherS: number
}

/** GPT-3 XL over AWS regions: our planner beside ZeRO-3, Megatron and DT-FM, all played by one simulator. */
export function measureRegions({ quick, progress }: PlanMeasurement): Measured {
  const fleets = quick ? regionFleets.slice(0, 1) : regionFleets
  const asPublished = regionFleets.map((fleet) => {
    progress(`training over ${fleet.id}`)
    return { id: fleet.id, ...faithfulRow(fleet, published) }
  })
  const free = fleets.flatMap((fleet) =>
    Object.entries(freedoms).map(([id, fixed]) => {
      progress(`training over ${fleet.id}, every planner with ${id}`)
      return { fleet: fleet.id, freedoms: id, ...freeRow(fleet, fixed) }
    }),
  )
  const batches = quick ? [122, 1952] : [64, 122, 244, 488, 976, 1952, 3904]
  const sweep = batches.map((globalBatch) => {
    progress(`training over four regions, ${globalBatch} sequences a step`)
    return { globalBatch, ...faithfulRow(regionFleets[0]!, { ...published, globalBatch }) }
  })
  return {
    figures: [
      ...asPublished.flatMap((row) => ratios(`plan.train.${row.id}`, row, row.id === 'fourRegions')),
      ...free
        .filter(({ fleet }) => fleet === 'fourRegions')
        .flatMap((row) => ratios(`plan.train.sameFreedoms.${row.freedoms}`, row, false)),
      planningTime(),
    ],
    raw: { asPublished, sameFreedoms: free, sweep, ablation: ablation(regionFleets[0]!), plan: example() },
  }
}

const seeded = () => ({ ...search, random: seededRandom(1) })
const dtFmTerms = () => ({ stages, random: seededRandom(1), steps: 20_000, restarts: 4 })
const secondsOf = (planned: Planned | null): number => planned?.forecast.stepS ?? Number.POSITIVE_INFINITY
const ours = (fleet: TrainingFleet, work: TrainingWork, fixed: Partial<StepOptions> = {}) =>
  planTraining(new LayerCosts(fleet, work), { ...seeded(), fixed })

/** Every baseline as its authors run it; ours as exact as they are. */
function faithfulRow({ scattered, together }: RegionFleet, work: TrainingWork): Row {
  const costs = new LayerCosts(scattered, work)
  return {
    oursS: secondsOf(ours(scattered, work)),
    zero3S: forecastZero3(scattered, work, { bytesPerParameter: 2, stepsPerExchange: 1 }).stepS,
    megatronS: secondsOf(planMegatron(costs)),
    dtFmS: secondsOf(planDtFm(costs, dtFmTerms())),
    togetherS: secondsOf(ours(together, work)),
  }
}

/** Every baseline sends what we send and as seldom, in the best of the ways in which we run plans. */
function freeRow({ scattered, together }: RegionFleet, fixed: Partial<StepOptions>): Row {
  const costs = new LayerCosts(scattered, published)
  const ways = waysToRun(published.globalBatch, fixed)
  const { gradientBytesPerParameter = 2, stepsPerExchange = 1 } = fixed
  return {
    oursS: secondsOf(ours(scattered, published, fixed)),
    zero3S: zero3S(scattered, Math.min(2, gradientBytesPerParameter), stepsPerExchange),
    megatronS: secondsOf(planMegatron(costs, ways)),
    dtFmS: secondsOf(planDtFm(costs, dtFmTerms(), ways)),
    togetherS: secondsOf(ours(together, published, fixed)),
  }
}

/** Local steps need the whole model on every device; where it does not fit, gradients go in every step. */
function zero3S(fleet: TrainingFleet, bytesPerParameter: number, stepsPerExchange: number): number {
  const local = forecastZero3(fleet, published, { bytesPerParameter, stepsPerExchange })
  return local.fits
    ? local.stepS
    : forecastZero3(fleet, published, { bytesPerParameter, stepsPerExchange: 1 }).stepS
}

function ratios(id: string, row: Row, hasBars: boolean): readonly Figure[] {
  const of = (name: string, value: number, bar: number) =>
    measuredFigure({
      id: `${id}.${name}`,
      unit: 'ratio',
      better: 'higher',
      samples: [value],
      ...(hasBars ? { bar } : {}),
    })
  return [
    of('vsZero3', row.zero3S / row.oursS, 2.8),
    of('vsMegatron', row.megatronS / row.oursS, 1.6),
    of('vsDtFm', row.dtFmS / row.oursS, 1.21),
    of('vsOneDataCentre', row.togetherS / row.oursS, 0.85),
  ]
}

/** From DT-FM's way of running in rank order, one freedom after the other. */
function ablation({ scattered }: RegionFleet) {
  const costs = new LayerCosts(scattered, published)
  const waiting = { overlap: false, exchangeEarly: false }
  const gpipe = { ...dtFmOptions, overlap: false }
  const rows: readonly (readonly [string, number])[] = [
    ['rank order, GPipe, waits for what it sends', secondsOf(planMegatron(costs, [gpipe]))],
    ['placement by DT-FM', secondsOf(planDtFm(costs, dtFmTerms(), [gpipe]))],
    ['our placement, balance and schedule, still waiting', secondsOf(ours(scattered, published, waiting))],
    ['hops overlap', secondsOf(ours(scattered, published, { exchangeEarly: false }))],
    ['exchange begins as stages end', secondsOf(ours(scattered, published))],
    ['gradients in fp16', secondsOf(ours(scattered, published, freedoms.halfGradients))],
    ['gradients and activations in int8', secondsOf(ours(scattered, published, freedoms.int8))],
    ['an exchange every 8 steps', secondsOf(ours(scattered, published, freedoms.int8AndEightLocalSteps))],
  ]
  return rows.map(([what, stepS]) => ({ what, stepS }))
}

/** What a plan says of itself. */
const example = () => ours(regionFleets[0]!.scattered, published)

function planningTime(): Figure {
  const started = performance.now()
  planTraining(new LayerCosts(regionFleets[0]!.scattered, published), { ...seeded(), fixed: {} })
  const seconds = (performance.now() - started) / 1e3
  return measuredFigure({
    id: 'plan.train.64devices.time',
    unit: 's',
    better: 'lower',
    bar: 2,
    samples: [seconds],
  })
}
