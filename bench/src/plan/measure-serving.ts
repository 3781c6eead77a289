import { join } from 'node:path'
import { seededRandom } from '@deos/domain'
import { flowOfPlacement, searchPlacement } from '@deos/planner'
import { type Figure, measuredFigure } from '../contract.ts'
import { planEndToEnd } from './helix-end-to-end.ts'
import { readPublishedRows } from './helix-published.ts'
import { HelixSetup } from './helix-rows.ts'

export interface ServingBenchOptions {
  readonly quick: boolean
  /** Folder with `helix/`. */
  readonly dataFolder: string
  progress(line: string): void
}

/** Serving: the flow against Helix's published placements, and whole plans against Helix in simulation. */
export function measureServing({ quick, dataFolder, progress }: ServingBenchOptions) {
  const folder = join(dataFolder, 'helix')
  const setup = new HelixSetup(folder)
  const flows = setup.instances.map((each) => {
    progress(`flow of ${each.name}`)
    return measureFlow(each, quick)
  })
  const rows = readPublishedRows(folder).filter((row) => row.kind === 'simulation' && row.method === 'Helix')
  const plans = rows
    .filter((row) => row.mode === 'offline')
    .map((row) => {
      const name = `${row.site}.${row.model === 'llama1_30b' ? '30b' : '70b'}`
      progress(`end to end: ${name}`)
      const plan = planEndToEnd(setup, row, quick ? quickBudget : fullBudget)
      const ours = seeds.map((seed) => plan.run(seed).decodeTokensPerSecond)
      const theirs = seeds.map((seed) => setup.run(row, seed).decodeTokensPerSecond)
      return { name, row, plan, ours, theirs }
    })
  const figures: Figure[] = [
    ...flows.flatMap((flow) => flow.figures),
    ...plans.flatMap(({ name, row, ours, theirs }) => [
      figure(
        `plan.serving.${name}.offline.vsPublishedHelix`,
        'ratio',
        'higher',
        ours.map((value) => value / row.decodeTokensPerSecond),
        1,
      ),
      figure(
        `plan.serving.${name}.offline.vsHelixHere`,
        'ratio',
        'higher',
        ours.map((value, at) => value / theirs[at]!),
        1,
      ),
    ]),
  ]
  return { figures, raw: { flows: flows.map((flow) => flow.raw), plans } }
}

const seeds = [1, 2, 3]
const quickBudget = { simulations: 25, evaluations: 30_000 }
const fullBudget = { simulations: 250, evaluations: 200_000 }

function measureFlow({ name, instance, published }: HelixSetup['instances'][number], quick: boolean) {
  const [helix] = published
  const parity = published.map(({ placement, tokensPerSecond }) => {
    const flow = flowOfPlacement(instance, placement).tokensPerSecond
    return Math.abs(flow - tokensPerSecond) / Math.max(tokensPerSecond, 1)
  })
  const startedMs = performance.now()
  const found = searchPlacement(instance, {
    evaluations: quick ? 200_000 : 8_000_000,
    random: seededRandom(1),
    shouldStop: () => performance.now() - startedMs > 60_000,
  })
  const seconds = (performance.now() - startedMs) / 1000
  const id = `plan.serving.flow.${name}`
  const bar = instance.layers === 80 ? 1.25 : 1 - 1e-9
  return {
    raw: {
      name,
      helix: helix!.tokensPerSecond,
      ours: found.tokensPerSecond,
      bound: found.upperBound,
      seconds,
    },
    figures: [
      figure(`${id}.parity`, 'relative', 'lower', [Math.max(...parity)], 1e-6),
      figure(`${id}.vsHelix`, 'ratio', 'higher', [found.tokensPerSecond / helix!.tokensPerSecond], bar),
      figure(`${id}.gap`, 'share', 'lower', [found.gap]),
      figure(`${id}.time`, 's', 'lower', [seconds], 61),
    ],
  }
}

function figure(
  id: string,
  unit: string,
  better: Figure['better'],
  samples: readonly number[],
  bar?: number,
): Figure {
  return measuredFigure({ id, unit, better, samples, ...(bar === undefined ? {} : { bar }) })
}
