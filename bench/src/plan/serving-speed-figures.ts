import { seededRandom } from '@deos/domain'
import { type FlowInstance, type FlowPlacement, replanPlacement, searchPlacement } from '@deos/planner'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { drawFleet } from './random-fleets.ts'
import { servingFigure } from './serving-figure.ts'

/** Machines, seconds after which a search is to end with what it has, and the bar on the whole. */
const sizes = [
  { devices: 64, limit: 1.6, bar: 2 },
  { devices: 1000, limit: 24, bar: 30 },
]
const quickLimit = 8
/** Of 80 layers: the third of the random models. */
const llama70b = 2
const sites = 3
const replanDevices = 100
const replanEvaluations = 600
const repeats = 5

/** How long planning takes on one core, how good it is by then, and the memory of the process. */
export function measureSpeed({ quick, progress }: PlanMeasurement): Measured {
  const searches = sizes.map(({ devices, limit, bar }) => {
    progress(`${devices} devices`)
    const instance = drawFleet(seededRandom(5), { devices, model: llama70b, sites })
    const startedMs = performance.now()
    const elapsed = () => (performance.now() - startedMs) / 1000
    const found = searchPlacement(instance, {
      evaluations: Number.MAX_SAFE_INTEGER,
      random: seededRandom(1),
      shouldStop: () => elapsed() > (quick ? Math.min(limit, quickLimit) : limit),
    })
    const rssMb = process.memoryUsage().rss / 1e6
    return { devices, bar, seconds: elapsed(), rssMb, gap: found.gap, evaluations: found.evaluations }
  })
  progress(`replanning ${replanDevices} devices after a failure`)
  const replans = measureReplans()
  return {
    figures: [
      ...searches.flatMap(({ devices, seconds, bar, gap }) => [
        servingFigure(`speed.${devices}devices`, 's', 'lower', [seconds], bar),
        servingFigure(`speed.${devices}devices.gap`, 'share', 'lower', [gap]),
      ]),
      servingFigure(
        'speed.replan',
        'ms',
        'lower',
        replans.map(({ ms }) => ms),
        200,
      ),
      servingFigure(
        'speed.replan.flowVsNewSearch',
        'ratio',
        'higher',
        replans.map(({ vsSearch }) => vsSearch),
      ),
      servingFigure('speed.memory', 'MB', 'lower', [Math.max(...searches.map(({ rssMb }) => rssMb))], 1000),
    ],
    raw: { searches, replans },
  }
}

/** One device of a good placement fails, each time another. */
function measureReplans() {
  const fleet = drawFleet(seededRandom(6), { devices: replanDevices, model: llama70b, sites })
  const search = (instance: FlowInstance) =>
    searchPlacement(instance, { evaluations: 20_000, random: seededRandom(1) })
  const { placement } = search(fleet)
  const holders = placement.flatMap((range, device) => (range === null ? [] : [device]))
  return Array.from({ length: repeats }, (_, at) => {
    const failed = holders[Math.floor((at * holders.length) / repeats)]!
    const [instance, previous] = without(fleet, placement, failed)
    const startedMs = performance.now()
    const found = replanPlacement(instance, previous, {
      evaluations: replanEvaluations,
      random: seededRandom(1),
    })
    const ms = performance.now() - startedMs
    const { tokensPerSecond, loadedLayers } = found
    return { failed, ms, loadedLayers, vsSearch: tokensPerSecond / search(instance).tokensPerSecond }
  })
}

function without(
  { layers, devices, links }: FlowInstance,
  placement: FlowPlacement,
  failed: number,
): readonly [FlowInstance, FlowPlacement] {
  const moved = <T>(end: T) => (typeof end === 'number' && end > failed ? end - 1 : end)
  return [
    {
      layers,
      devices: devices.filter((_, device) => device !== failed),
      links: links
        .filter(({ from, to }) => from !== failed && to !== failed)
        .map((link) => ({ ...link, from: moved(link.from), to: moved(link.to) })),
    },
    placement.filter((_, device) => device !== failed),
  ]
}
