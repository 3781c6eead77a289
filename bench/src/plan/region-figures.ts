import { seededRandom } from '@deos/domain'
import { LayerCosts, planTraining } from '@deos/planner'
import { type Figure, measuredFigure, skippedFigure } from '../contract.ts'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { fourRegionsFleet as fourRegions, published, regionFleets } from './region-fleets.ts'
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

/** Exchange in every step, as published; what is sent changes in all but the first. */
const frozen = ['exact', 'int4Gradients', 'int4'] as const satisfies readonly Freedom[]
const bars = { vsZero3: 2.8, vsMegatron: 1.6, vsDtFm: 1.21, vsOneDataCentre: 0.85, vsExactDataCentre: 0.85 }

const batches = [64, 122, 244, 488, 976, 1952, 3904, 7808]
/** Of the sweep, those that are figures by themselves. */
const shownBatches = [122, 3904]

/** GPT-3 XL over AWS regions: our planner beside ZeRO-3, Megatron and DT-FM, all played by one simulator. */
export function measureRegions({ quick, progress }: PlanMeasurement): Measured {
  const asPublished = frozen.flatMap((freedom) =>
    regionFleets.map((fleet) => {
      if (quick && fleet !== fourRegions) return { fleet: fleet.id, freedom, row: null, bound: null }
      progress(`training over ${fleet.id}, ours with ${freedom}`)
      const row = faithfulRow(fleet, published, freedom)
      return { fleet: fleet.id, freedom, row, bound: leastSeconds(fleet, published, freedom) }
    }),
  )
  const free = (quick ? [fourRegions] : regionFleets).flatMap((fleet) =>
    freedomNames.map((freedom) => {
      if (quick && freedom !== 'int4Gradients') return { fleet: fleet.id, freedom, row: null }
      progress(`training over ${fleet.id}, every planner with ${freedom}`)
      return { fleet: fleet.id, freedom, row: freeRow(fleet, published, freedom) }
    }),
  )
  const sweep = (quick ? shownBatches : batches).flatMap((globalBatch) =>
    frozen.map((freedom) => {
      if (quick && freedom !== 'exact') return { globalBatch, freedom, row: null }
      progress(`training over four regions, ${globalBatch} sequences a step, ${freedom}`)
      return { globalBatch, freedom, row: faithfulRow(fourRegions, { ...published, globalBatch }, freedom) }
    }),
  )
  return {
    figures: [
      ...asPublished.flatMap(({ fleet, freedom, row, bound }) => {
        const id = idOf('plan.train', fleet, freedom)
        const most = row && row.togetherS / bound.stepS
        return [...ratios(id, row, true), figure(`${id}.mostVsOneDataCentre`, most)]
      }),
      ...free
        .filter(({ fleet }) => fleet === fourRegions.id)
        .flatMap(({ freedom, row }) => ratios(`plan.train.sameFreedoms.${freedom}`, row, false)),
      ...sweep
        .filter(({ globalBatch }) => shownBatches.includes(globalBatch))
        .flatMap(({ globalBatch, freedom, row }) =>
          ratios(idOf(`plan.train.batch${globalBatch}`, fourRegions.id, freedom), row, false),
        ),
      planningTime(),
    ],
    raw: {
      asPublished: asPublished.map(withRatios),
      sameFreedoms: free.map(withRatios),
      sweep: sweep.map(withRatios),
      ablation: quick ? null : ablation(fourRegions),
      plans: frozen.map((freedom) => ({
        freedom,
        ...ours(fourRegions.scattered, published, freedoms[freedom]),
      })),
    },
  }
}

const idOf = (start: string, fleet: string, freedom: Freedom): string =>
  freedom === 'exact' ? `${start}.${fleet}` : `${start}.${fleet}.${freedom}`

const ratiosOf = ({ oursS, zero3S, megatronS, dtFmS, togetherS, togetherExactS }: Row) => ({
  vsZero3: zero3S / oursS,
  vsMegatron: megatronS / oursS,
  vsDtFm: dtFmS / oursS,
  vsOneDataCentre: togetherS / oursS,
  vsExactDataCentre: togetherExactS / oursS,
})

const withRatios = <R extends { readonly row: Row | null }>(each: R) => ({
  ...each,
  ratios: each.row && ratiosOf(each.row),
})

const ratioNames = ['vsZero3', 'vsMegatron', 'vsDtFm', 'vsOneDataCentre', 'vsExactDataCentre'] as const

function figure(id: string, value: number | null, bar?: number): Figure {
  const terms = { id, unit: 'ratio', better: 'higher', ...(bar === undefined ? {} : { bar }) } as const
  return value === null
    ? skippedFigure({ ...terms, reason: 'Left out by --quick.' })
    : measuredFigure({ ...terms, samples: [value] })
}

function ratios(id: string, row: Row | null, hasBars: boolean): readonly Figure[] {
  const values = row && ratiosOf(row)
  return ratioNames.map((name) =>
    figure(`${id}.${name}`, values?.[name] ?? null, hasBars ? bars[name] : undefined),
  )
}

function planningTime(): Figure {
  const costs = new LayerCosts(fourRegions.scattered, published)
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
