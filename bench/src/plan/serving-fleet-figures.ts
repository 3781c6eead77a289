import { seededRandom } from '@deos/domain'
import {
  equalSplit,
  type FlowInstance,
  type FlowPlacement,
  flowOfPlacement,
  hexgenPlacement,
  parallaxPlacement,
  petalsPlacement,
  searchPlacement,
  separatePipelines,
  swarmPlacement,
} from '@deos/planner'
import { quantile } from '../contract.ts'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { type RandomFleet, randomFleet } from './random-fleets.ts'
import { servingFigure } from './serving-figure.ts'

const counts = { quick: 20, full: 200 }
const evaluations = { quick: 6000, full: 60_000 }
const generations = 2000

/** Other planners, on the fleet of a seed. */
const baselines: Readonly<Record<string, (instance: FlowInstance, seed: number) => FlowPlacement | null>> = {
  equalSplit: (instance) => equalSplit(instance),
  separatePipelines: (instance) => separatePipelines(instance),
  swarm: (instance) => swarmPlacement(instance),
  petals: (instance) => petalsPlacement(instance),
  parallax: (instance) => parallaxPlacement(instance),
  hexgen: (instance, seed) => hexgenPlacement(instance, { generations, random: seededRandom(seed) }),
}

/** Our placement beside those of the baselines on random fleets; what they find is among the places we start from. */
export function measureFleets({ quick, progress }: PlanMeasurement): Measured {
  const count = quick ? counts.quick : counts.full
  progress(`${count} random fleets`)
  const rows = Array.from({ length: count }, (_, at) => measureFleet(randomFleet(at + 1), at + 1, quick))
  const gaps = rows.map(({ gap }) => gap)
  return {
    figures: [
      servingFigure(
        'fleets.worseThanBaseline',
        'fleets',
        'lower',
        [rows.filter(({ vsBest }) => vsBest < 1 - 1e-9).length],
        0,
      ),
      servingFigure('fleets.medianGap', 'share', 'lower', gaps, 0.05),
      servingFigure('fleets.gapP90', 'share', 'lower', [quantile(gaps, 0.9)]),
      servingFigure(
        'fleets.vsBestBaseline',
        'ratio',
        'higher',
        rows.map(({ vsBest }) => vsBest),
      ),
      ...Object.keys(baselines).map((name) =>
        servingFigure(
          `fleets.vs.${name}`,
          'ratio',
          'higher',
          rows.map(({ shares }) => 1 / Math.max(shares[name]!, 0.01)),
        ),
      ),
    ],
    raw: { fleets: rows },
  }
}

function measureFleet({ name, instance }: RandomFleet, seed: number, quick: boolean) {
  const placed = Object.entries(baselines).map(([method, place]) => [method, place(instance, seed)] as const)
  const flows = placed.map(([method, placement]) => {
    const flow = placement === null ? 0 : flowOfPlacement(instance, placement).tokensPerSecond
    return [method, flow] as const
  })
  const found = searchPlacement(instance, {
    evaluations: quick ? evaluations.quick : evaluations.full,
    random: seededRandom(seed + 1000),
    seeds: placed.flatMap(([, placement]) => (placement === null ? [] : [placement])),
  })
  const { tokensPerSecond, upperBound, gap } = found
  return {
    name,
    devices: instance.devices.length,
    layers: instance.layers,
    tokensPerSecond,
    upperBound,
    gap,
    vsBest: tokensPerSecond / Math.max(...flows.map(([, flow]) => flow)),
    /** Flow of each baseline as a share of ours; 0 where its placement has no route, at least 0.01 in the figures. */
    shares: Object.fromEntries(flows.map(([method, flow]) => [method, flow / tokensPerSecond])),
  }
}
