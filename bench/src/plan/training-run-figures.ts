import {
  type ComputeFleet,
  canonicalFleet,
  eightCities,
  fourRegions,
  insideLinkOf,
  linksOfEightCities,
  linksOfFourRegions,
  planTrainingRun,
  type RegionLink,
  replayTraining,
  type TrainingJob,
  trainingBaselines,
} from '@deos/planner'
import { type Figure, measuredFigure, skippedFigure } from '../contract.ts'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { efficiency, kindsOf, published } from './region-fleets.ts'

const job: TrainingJob = {
  globalBatch: published.globalBatch,
  sequenceTokens: published.sequenceTokens,
  microbatches: [published.microbatch],
  optimiser: 'adam',
  precision: 'fp16',
  goal: 'throughput',
  mostLocalSteps: 1,
  tokens: null,
  stepS: null,
}
const rateOf = (delayMs: number, gbps: number) => ({ delayMs, bytesPerS: (gbps * 1e9) / 8 })

/** 64 machines of one accelerator, equally many in each region, over DT-FM's links. */
function fleetOf(names: readonly string[], links: readonly RegionLink[], mixed: boolean): ComputeFleet {
  const inside = rateOf(5, 2)
  return canonicalFleet({
    machines: kindsOf(mixed).map((accelerator, at) => {
      const region = names[Math.floor((at * names.length) / 64)]!
      return {
        name: `${region}-${at}`,
        accelerator,
        accelerators: 1,
        inside: insideLinkOf(accelerator),
        site: region,
        region,
        pricePerHour: 0,
        availability: 1,
      }
    }),
    links: {
      sameSite: inside,
      sameRegion: inside,
      elsewhere: inside,
      regions: links.map(({ a, b, delayMs, gbps }) => ({ a, b, rate: rateOf(delayMs, gbps) })),
      measured: [],
    },
    efficiency,
  })
}

const fleets = [
  { id: 'fourRegions', fleet: fleetOf(fourRegions, linksOfFourRegions, false) },
  { id: 'fourRegionsMixed', fleet: fleetOf(fourRegions, linksOfFourRegions, true) },
  { id: 'eightCitiesMixed', fleet: fleetOf(eightCities, linksOfEightCities, true) },
]
const bars = { 'ZeRO-3': 2.8, 'Megatron, best static degrees': 1.6, 'DT-FM': 1.21 }
const names = { 'ZeRO-3': 'vsZero3', 'Megatron, best static degrees': 'vsMegatron', 'DT-FM': 'vsDtFm' }

/** What `deos plan train` plans and `deos plan compare` puts beside it, and whether a replay says the same. */
export function measureTrainingRuns({ quick, progress }: PlanMeasurement): Measured {
  const measured = quick ? fleets.slice(0, 1) : fleets
  const rows = measured.map(({ id, fleet }) => {
    progress(`deos plan train over ${id}`)
    const started = performance.now()
    const plan = planTrainingRun(published.shape, fleet, job)
    const planningS = (performance.now() - started) / 1e3
    if (plan.kind === 'refused') throw new RangeError(`${id}: ${plan.binding}`)
    const replayedS = replayTraining(plan, { shape: published.shape, fleet, job }).stepS
    return { id, plan, planningS, replayedS, baselines: trainingBaselines(published.shape, fleet, job) }
  })
  const figures = rows.flatMap(({ id, plan, planningS, replayedS, baselines }): readonly Figure[] => [
    ...(['ZeRO-3', 'Megatron, best static degrees', 'DT-FM'] as const).map((name) => {
      const stepS = baselines.find((each) => each.name === name)?.stepS ?? null
      const terms = {
        id: `plan.trainingRun.${id}.${names[name]}`,
        unit: 'ratio',
        better: 'higher',
        bar: bars[name],
      } as const
      return stepS === null
        ? skippedFigure({ ...terms, reason: `${name} finds nothing that fits.` })
        : measuredFigure({ ...terms, samples: [stepS / plan.predicted.stepS] })
    }),
    measuredFigure({
      id: `plan.trainingRun.${id}.replayError`,
      unit: 'ratio',
      better: 'lower',
      bar: 1e-9,
      samples: [Math.abs(replayedS / plan.predicted.stepS - 1)],
    }),
    measuredFigure({
      id: `plan.trainingRun.${id}.time`,
      unit: 's',
      better: 'lower',
      samples: [planningS],
    }),
  ])
  const skipped = fleets.slice(measured.length).flatMap(({ id }) =>
    ([...Object.values(names), 'replayError', 'time'] as const).map((name) =>
      skippedFigure({
        id: `plan.trainingRun.${id}.${name}`,
        unit: name === 'time' ? 's' : 'ratio',
        better: name.startsWith('vs') ? 'higher' : 'lower',
        reason: 'Left out by --quick.',
      }),
    ),
  )
  return {
    figures: [...figures, ...skipped],
    raw: {
      rows: rows.map(({ id, plan, replayedS, planningS, baselines }) => {
        const { degrees, schedule, exchange, predicted, bottleneck, rejected } = plan
        return {
          id,
          degrees,
          schedule,
          exchange,
          predicted,
          bottleneck,
          rejected,
          replayedS,
          planningS,
          baselines,
        }
      }),
    },
  }
}
