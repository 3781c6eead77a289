import { defaultLeaderOptions } from '@deos/protocol'
import { type RingRun, type StageTiming, simulateRing } from '@deos/simulator'
import { type Figure, measuredFigure, median } from '../contract.ts'
import type { LocalRing } from '../ring/local-ring.ts'
import type { NamedModel } from './calibration-models.ts'
import { type Load, type LoadSummary, loadsOf, runLoad, summarize } from './loads.ts'
import { type MessageTimes, measureMessages, measureStages, pieceTokens, warmUp } from './measure-stages.ts'
import {
  type CalibratedModel,
  mostSessions,
  oneWayMs,
  paces,
  type RingPaths,
  readModel,
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
  /** One for each time the load was sent. */
  readonly measured: readonly LoadSummary[]
  readonly predicted: LoadSummary
}

interface Calibration {
  readonly stages: readonly StageTiming[]
  readonly messages: MessageTimes
}

const quantities = ['tokensPerSecond', 'ttftP50Ms', 'tpotP50Ms', 'ttftP99Ms', 'tpotP99Ms'] as const
type Quantity = (typeof quantities)[number]
const middles: readonly Quantity[] = ['tokensPerSecond', 'ttftP50Ms', 'tpotP50Ms']
const tails: readonly Quantity[] = ['ttftP99Ms', 'tpotP99Ms']
/** How often every load is sent, in turn with the others. */
const roundsOf = (quick: boolean): number => (quick ? 1 : 3)

/** Measures the workers of a ring one kind of step at a time, and lets the simulator say what the ring does under loads. */
export async function measureCalibration(options: CalibrationOptions) {
  const compared: Compared[] = []
  const calibrations: Record<string, Calibration> = {}
  const { quick, progress } = options
  for (const named of options.models) {
    const { name } = named
    const model = await readModel(named)
    const paths = { ...options, model: named.path }
    progress(`${name}: stages one by one`)
    const stages = await withRing(paths, model, { near: true, prefillChunkTokens: 512 }, (wholePrompts) =>
      withRing(paths, model, { near: true, prefillChunkTokens: pieceTokens }, (piecewise) =>
        measureStages(wholePrompts, piecewise, model, quick),
      ),
    )
    await withRing(paths, model, { near: false }, async (ring) => {
      await warmUp(ring, model)
      const calibration = { stages, messages: await measureMessages(ring, model, quick) }
      calibrations[name] = calibration
      compared.push(...(await compareLoads(ring, model, calibration, options)))
    })
  }
  return { figures: figuresOf(compared), raw: { paces, calibrations, compared } }
}

async function compareLoads(
  ring: LocalRing,
  model: CalibratedModel,
  calibration: Calibration,
  { quick, progress }: CalibrationOptions,
): Promise<readonly Compared[]> {
  const [, eight] = loadsOf(1)
  const { endMs } = simulateRing(runOf(ring, model, calibration, eight!, []))
  const loads = loadsOf((1000 * eight!.requests.length) / endMs)
  // The ring knows what its steps take when it is measured; so does the simulated one.
  await runLoad(ring, model, eight!)
  const measured = loads.map((): LoadSummary[] => [])
  for (let round = 0; round < roundsOf(quick); round += 1) {
    for (const [at, load] of loads.entries()) {
      measured[at]!.push(summarize(await runLoad(ring, model, load)))
      progress(`${model.name} ${load.name}, round ${round + 1}`)
    }
  }
  return loads.map((load, at) => {
    const earlier = [eight!, ...loads.slice(0, at)]
    const predicted = summarize(simulateRing(runOf(ring, model, calibration, load, earlier)).answers)
    const each = { model: model.name, load: load.name, measured: measured[at]!, predicted }
    progress(
      `${model.name} ${load.name}: ${quantities
        .map(
          (name) => `${name} ${measuredOf(each, name).toFixed(1)} (predicted ${predicted[name].toFixed(1)})`,
        )
        .join(', ')}`,
    )
    return each
  })
}

function runOf(
  ring: LocalRing,
  model: CalibratedModel,
  { stages, messages }: Calibration,
  { requests, clients }: Load,
  earlier: readonly Load[],
): RingRun {
  const last = stages.length - 1
  const link = (from: number, to: number, moreMs: number) => ({
    oneWayMs: oneWayMs(from, to) + moreMs,
    bytesPerMs: 0,
  })
  return {
    stages: stages.map((timing, stage) => ({
      timing,
      link: link(stage, (stage + 1) % stages.length, messages.hopMs),
    })),
    // Whoever asks stands beside the first stage.
    gateway: { toLeader: link(0, 0, 0), fromTail: link(last, 0, messages.answerMs) },
    hiddenSize: model.hiddenSize,
    capacity: ring.capacity,
    leader: {
      ...defaultLeaderOptions,
      ...{ microbatches: stages.length, maxBatchTokens: 512 },
      ...{ maxSessions: mostSessions, maxQueued: mostSessions, prefixCache: false },
    },
    ...{ requests, clients, earlier },
  }
}

const measuredOf = ({ measured }: Compared, name: Quantity): number =>
  median(measured.map((each) => each[name]))

const errorOf = (each: Compared, name: Quantity): number =>
  100 * Math.abs(each.predicted[name] / measuredOf(each, name) - 1)

function figuresOf(compared: readonly Compared[]): readonly Figure[] {
  const errors = (names: readonly Quantity[]) =>
    compared.flatMap((each) => names.map((name) => errorOf(each, name)))
  const percent = (id: string, samples: readonly number[], bar?: number): Figure =>
    measuredFigure({ id, unit: '%', better: 'lower', samples, ...(bar !== undefined && { bar }) })
  return [
    percent('calibrate.ring4.middle.worstError', [Math.max(...errors(middles))], 10),
    percent('calibrate.ring4.p99.worstError', [Math.max(...errors(tails))], 20),
    percent('calibrate.ring4.middle.medianError', errors(middles)),
    percent('calibrate.ring4.p99.medianError', errors(tails)),
    ...compared.flatMap((each) =>
      quantities.map((name) =>
        measuredFigure({
          id: `calibrate.${each.model}.${each.load}.${name}`,
          unit: name === 'tokensPerSecond' ? 'tokens/s' : 'ms',
          better: name === 'tokensPerSecond' ? 'higher' : 'lower',
          samples: each.measured.map((one) => one[name]),
          predicted: each.predicted[name],
        }),
      ),
    ),
  ]
}
