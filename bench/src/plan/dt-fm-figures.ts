import { seededRandom } from '@deos/domain'
import {
  type DeviceNetwork,
  DtFmEvaluator,
  dataCentre,
  eightCities,
  fourRegions,
  gpt3XlTask,
  linksOfEightCities,
  linksOfFourRegions,
  regions,
  searchDtFm,
  searchDtFmGenetically,
  spotInstances,
  universities,
} from '@deos/planner'
import { measuredFigure } from '../contract.ts'
import type { Measured, PlanMeasurement } from './measure-training.ts'

interface PublishedCase {
  readonly id: string
  readonly network: DeviceNetwork
  /** Seconds, devices in order, by the authors' code. */
  readonly inOrderS: number
  /** The best known: by long annealing, in one case also by the authors' own search. */
  readonly bestS: number
}

const cases: readonly PublishedCase[] = [
  { id: 'dataCentre', network: dataCentre(), inOrderS: 16.981, bestS: 3.44 },
  { id: 'spotInstances', network: spotInstances(), inOrderS: 49.504, bestS: 49.504 },
  { id: 'universities', network: universities(), inOrderS: 17.648, bestS: 16.087 },
  { id: 'fourRegions', network: regions(fourRegions, linksOfFourRegions), inOrderS: 39.241, bestS: 34.802 },
  { id: 'eightCities', network: regions(eightCities, linksOfEightCities), inOrderS: 59.437, bestS: 49.218 },
]

/** DT-FM's own cost model: parity of the evaluator, and how near our search comes to the best known. */
export function measureDtFm({ quick, progress }: PlanMeasurement): Measured {
  const order = Int32Array.from({ length: 64 }, (_, device) => device)
  const rows = cases.map(({ id, network, inOrderS, bestS }) => {
    progress(`DT-FM's model, ${id}`)
    const task = gpt3XlTask(network)
    const evaluatedS = new DtFmEvaluator(task).cost(order).totalS
    const search = quick ? { steps: 60_000, restarts: 6 } : { steps: 200_000, restarts: 20 }
    const started = performance.now()
    const { cost } = searchDtFm(task, { ...search, random: seededRandom(1) })
    const searchS = (performance.now() - started) / 1e3
    return { id, inOrderS, evaluatedS, bestS, found: cost, searchS }
  })
  progress("DT-FM's genetic search, eight cities")
  const trials = quick ? 100 : 1900
  const started = performance.now()
  const genetic = searchDtFmGenetically(gpt3XlTask(cases.at(-1)!.network), {
    population: 100,
    trials,
    random: seededRandom(1),
  })
  const geneticS = (performance.now() - started) / 1e3
  const deviations = rows.map(({ inOrderS, evaluatedS }) => Math.abs(evaluatedS - inOrderS))
  return {
    figures: [
      measuredFigure({
        id: 'plan.dtfm.parity.worst',
        unit: 's',
        better: 'lower',
        bar: 0.0005,
        samples: [Math.max(...deviations)],
      }),
      ...rows.map(({ id, found, bestS }) =>
        measuredFigure({
          id: `plan.dtfm.${id}.vsBestKnown`,
          unit: 'ratio',
          better: 'lower',
          bar: 1.01,
          samples: [found.totalS / bestS],
        }),
      ),
      measuredFigure({
        id: 'plan.dtfm.eightCities.vsGenetic',
        unit: 'ratio',
        better: 'lower',
        samples: [rows.at(-1)!.found.totalS / genetic.cost.totalS],
      }),
      measuredFigure({
        id: 'plan.dtfm.slowestSearch',
        unit: 's',
        better: 'lower',
        bar: 60,
        samples: [Math.max(...rows.map(({ searchS }) => searchS))],
      }),
    ],
    raw: { rows, genetic: { trials, searchS: geneticS, cost: genetic.cost } },
  }
}
