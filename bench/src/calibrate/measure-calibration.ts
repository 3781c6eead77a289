import { defaultLeaderOptions } from '@deos/protocol'
import { type RingRun, type StageTiming, simulateRing } from '@deos/simulator'
import { type Figure, measuredFigure } from '../contract.ts'
import type { LocalRing } from '../ring/local-ring.ts'
import type { NamedModel } from './calibration-models.ts'
import { type Load, type LoadSummary, loadsOf, runLoad, summarize } from './loads.ts'
import { measureStages } from './measure-stages.ts'
import {
  type CalibratedModel,
  mostSessions,
  oneWayMs,
  type RingPaths,
  readModel,
  speeds,
  withRing,
} from './ring-setup.ts'

export interface CalibrationOptions extends Omit<RingPaths, 'model'> {
  readonly quick: boolean
  readonly models: readonly NamedModel[]
  progress(line: string): void
}

interface Compared {
  readonly model: string
  readonly load: string
  readonly measured: LoadSummary
  readonly predicted: LoadSummary
}

const quantities = ['tokensPerSecond', 'ttftP50Ms', 'tpotP50Ms', 'ttftP99Ms', 'tpotP99Ms'] as const
const middles: readonly string[] = ['tokensPerSecond', 'ttftP50Ms', 'tpotP50Ms']

/** Measures the workers of a ring one kind of step at a time, and lets the simulator say what the ring does under loads. */
export async function measureCalibration(options: CalibrationOptions) {
  const compared: Compared[] = []
  const calibrations: Record<string, readonly StageTiming[]> = {}
  for (const { name, path } of options.models) {
    const model = await readModel(path, name)
    const paths = { ...options, model: path }
    options.progress(`${name}: stages one by one`)
    const steps = { microbatches: 1, prefillChunkTokens: 512 }
    const stages = await withRing(paths, model, steps, (ring) => measureStages(ring, model, options.quick))
    calibrations[name] = stages
    compared.push(
      ...(await withRing(paths, model, { microbatches: speeds.length }, (ring) =>
        compareLoads(ring, model, stages, options),
      )),
    )
  }
  return { figures: figuresOf(compared), raw: { speeds, calibrations, compared } }
}

async function compareLoads(
  ring: LocalRing,
  model: CalibratedModel,
  timings: readonly StageTiming[],
  { quick, progress }: CalibrationOptions,
): Promise<readonly Compared[]> {
  const [, eight] = loadsOf(quick, 1)
  const predictedEight = simulateRing(runOf(ring, model, timings, eight!))
  const answersPerSecond = (1000 * eight!.requests.length) / predictedEight.endMs
  await runLoad(ring, model, eight!) // code is compiled meanwhile
  const compared: Compared[] = []
  for (const load of loadsOf(quick, answersPerSecond)) {
    const predicted = summarize(simulateRing(runOf(ring, model, timings, load)).answers)
    const measured = summarize(await runLoad(ring, model, load))
    compared.push({ model: model.name, load: load.name, measured, predicted })
    progress(
      `${model.name} ${load.name}: ${quantities
        .map((name) => `${name} ${measured[name].toFixed(1)} (predicted ${predicted[name].toFixed(1)})`)
        .join(', ')}`,
    )
  }
  return compared
}

function runOf(
  ring: LocalRing,
  model: CalibratedModel,
  timings: readonly StageTiming[],
  { requests, clients }: Load,
): RingRun {
  const last = timings.length - 1
  const link = (from: number, to: number) => ({ oneWayMs: oneWayMs(from, to), bytesPerMs: 0 })
  return {
    stages: timings.map((timing, stage) => ({ timing, link: link(stage, (stage + 1) % timings.length) })),
    // Whoever asks stands beside the first stage.
    gateway: { toLeader: link(0, 0), fromTail: link(last, 0) },
    hiddenSize: model.hiddenSize,
    capacity: ring.capacity,
    leader: {
      ...defaultLeaderOptions,
      ...{ microbatches: timings.length, maxBatchTokens: 512 },
      ...{ maxSessions: mostSessions, maxQueued: mostSessions, prefixCache: false },
    },
    requests,
    clients,
  }
}

const errorOf = ({ measured, predicted }: Compared, name: (typeof quantities)[number]): number =>
  100 * Math.abs(predicted[name] / measured[name] - 1)

function figuresOf(compared: readonly Compared[]): readonly Figure[] {
  const worst = (names: readonly (typeof quantities)[number][]) =>
    Math.max(...compared.flatMap((each) => names.map((name) => errorOf(each, name))))
  const one = (id: string, value: number, bar?: number): Figure =>
    measuredFigure({ id, unit: '%', better: 'lower', samples: [value], ...(bar !== undefined && { bar }) })
  return [
    one('calibrate.ring4.middle.worstError', worst(quantities.filter((name) => middles.includes(name))), 10),
    one('calibrate.ring4.p99.worstError', worst(quantities.filter((name) => !middles.includes(name))), 20),
    ...compared.flatMap((each) =>
      quantities.map((name) =>
        measuredFigure({
          id: `calibrate.${each.model}.${each.load}.${name}`,
          unit: name === 'tokensPerSecond' ? 'tokens/s' : 'ms',
          better: name === 'tokensPerSecond' ? 'higher' : 'lower',
          samples: [each.measured[name]],
          predicted: each.predicted[name],
        }),
      ),
    ),
  ]
}
