import { seededRandom } from '@deos/domain'
import { flowOfPlacement, searchPlacement } from '@deos/planner'
import type { HelixInstance } from './helix-instances.ts'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { servingFigure } from './serving-figure.ts'

const evaluations = { quick: 200_000, full: 8_000_000 }
/** Beyond it the search ends with what it has; the bar is a minute. */
const mostSeconds = 55

/** The flow of our placement of each of Helix's instances, beside the published one and a proven bound. */
export function measureFlows(
  instances: readonly HelixInstance[],
  { quick, progress }: PlanMeasurement,
): Measured {
  const flows = instances.map((each) => {
    progress(`flow of ${each.name}`)
    return measureFlow(each, quick)
  })
  return { figures: flows.flatMap(({ figures }) => figures), raw: { flows: flows.map(({ raw }) => raw) } }
}

function measureFlow({ name, instance, published, solverSeconds }: HelixInstance, quick: boolean) {
  const theirs = published.find(({ method }) => method === 'helix')!.tokensPerSecond
  const parity = published.map(({ placement, tokensPerSecond }) => {
    const flow = flowOfPlacement(instance, placement).tokensPerSecond
    return Math.abs(flow - tokensPerSecond) / Math.max(tokensPerSecond, 1)
  })
  const startedMs = performance.now()
  const elapsedSeconds = () => (performance.now() - startedMs) / 1000
  const found = searchPlacement(instance, {
    evaluations: quick ? evaluations.quick : evaluations.full,
    random: seededRandom(1),
    shouldStop: () => elapsedSeconds() > mostSeconds,
  })
  const seconds = elapsedSeconds()
  const is70b = instance.layers === 80
  return {
    raw: {
      instance: name,
      theirs,
      ours: found.tokensPerSecond,
      ratio: found.tokensPerSecond / theirs,
      bound: found.upperBound,
      ratioOfBound: found.upperBound / theirs,
      seconds,
      theirSeconds: solverSeconds,
    },
    figures: [
      servingFigure(`flow.${name}.parity`, 'relative', 'lower', [Math.max(...parity)], 1e-6),
      servingFigure(
        `flow.${name}.vsHelix`,
        'ratio',
        'higher',
        [found.tokensPerSecond / theirs],
        is70b ? 1.25 : 1 - 1e-9,
      ),
      servingFigure(`flow.${name}.gap`, 'share', 'lower', [found.gap]),
      servingFigure(`flow.${name}.time`, 's', 'lower', [seconds], 60),
    ],
  }
}
