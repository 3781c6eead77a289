import { seededRandom } from '@deos/domain'
import { LayerCosts, planTraining } from '@deos/planner'
import { type Figure, measuredFigure } from '../contract.ts'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { published, regionFleets } from './region-fleets.ts'
import {
  ablation,
  type Freedom,
  faithfulRow,
  freedomNames,
  freedoms,
  freeRow,
  leastSeconds,
  ours,
  type Row,
} from './region-rows.ts'

/** Exchange in every step, as published; what is sent changes in the second. */
const frozen = ['exact', 'int4Gradients'] as const satisfies readonly Freedom[]
const bars = { vsZero3: 2.8, vsMegatron: 1.6, vsDtFm: 1.21, vsOneDataCentre: 0.85 }
const [fourRegions] = regionFleets

/** GPT-3 XL over AWS regions: our planner beside ZeRO-3, Megatron and DT-FM, all played by one simulator. */
export function measureRegions({ quick, progress }: PlanMeasurement): Measured {
  const asPublished = frozen.flatMap((freedom) =>
    regionFleets.map((fleet) => {
      progress(`training over ${fleet.id}, ours with ${freedom}`)
      const row = faithfulRow(fleet, published, freedom)
      return { fleet: fleet.id, freedom, ...row, bound: leastSeconds(fleet, published, freedom) }
    }),
  )
  const free = (quick ? [fourRegions!] : regionFleets).flatMap((fleet) =>
    freedomNames.map((freedom) => {
      progress(`training over ${fleet.id}, every planner with ${freedom}`)
      return { fleet: fleet.id, freedom, ...freeRow(fleet, published, freedom) }
    }),
  )
  const batches = quick ? [122, 3904] : [64, 122, 244, 488, 976, 1952, 3904, 7808]
  const sweep = batches.flatMap((globalBatch) =>
    frozen.map((freedom) => {
      progress(`training over four regions, ${globalBatch} sequences a step, ${freedom}`)
      return { globalBatch, freedom, ...faithfulRow(fourRegions!, { ...published, globalBatch }, freedom) }
    }),
  )
  return {
    figures: [
      ...asPublished.flatMap((row) => [
        ...ratios(idOf('plan.train', row.fleet, row.freedom), row, true),
        figure(
          `${idOf('plan.train', row.fleet, row.freedom)}.mostVsOneDataCentre`,
          row.togetherS / row.bound.stepS,
        ),
      ]),
      ...free
        .filter(({ fleet }) => fleet === 'fourRegions')
        .flatMap((row) => ratios(`plan.train.sameFreedoms.${row.freedom}`, row, false)),
      ...sweep
        .filter(({ globalBatch }) => globalBatch === 122 || globalBatch === 3904)
        .flatMap((row) =>
          ratios(idOf(`plan.train.batch${row.globalBatch}`, 'fourRegions', row.freedom), row, false),
        ),
      planningTime(),
    ],
    raw: {
      asPublished: asPublished.map(withRatios),
      sameFreedoms: free.map(withRatios),
      sweep: sweep.map(withRatios),
      ablation: ablation(fourRegions!),
      plans: frozen.map((freedom) => ({
        freedom,
        ...ours(fourRegions!.scattered, published, freedoms[freedom]),
      })),
    },
  }
}

const idOf = (start: string, fleet: string, freedom: Freedom): string =>
  freedom === 'exact' ? `${start}.${fleet}` : `${start}.${fleet}.${freedom}`

const ratiosOf = ({ oursS, zero3S, megatronS, dtFmS, togetherS }: Row) => ({
  vsZero3: zero3S / oursS,
  vsMegatron: megatronS / oursS,
  vsDtFm: dtFmS / oursS,
  vsOneDataCentre: togetherS / oursS,
})

const withRatios = <R extends Row>(row: R) => ({ ...row, ratios: ratiosOf(row) })

const figure = (id: string, value: number, bar?: number): Figure =>
  measuredFigure({
    id,
    unit: 'ratio',
    better: 'higher',
    samples: [value],
    ...(bar === undefined ? {} : { bar }),
  })

function ratios(id: string, row: Row, hasBars: boolean): readonly Figure[] {
  const values = ratiosOf(row)
  return (['vsZero3', 'vsMegatron', 'vsDtFm', 'vsOneDataCentre'] as const).map((name) =>
    figure(`${id}.${name}`, values[name], hasBars ? bars[name] : undefined),
  )
}

function planningTime(): Figure {
  const costs = new LayerCosts(fourRegions!.scattered, published)
  const started = performance.now()
  planTraining(costs, { placementSteps: 1500, polishSteps: 400, random: seededRandom(1), fixed: {} })
  const seconds = (performance.now() - started) / 1e3
  return measuredFigure({
    id: 'plan.train.64devices.time',
    unit: 's',
    better: 'lower',
    bar: 2,
    samples: [seconds],
  })
}
