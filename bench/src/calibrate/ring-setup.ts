import { balanceLayers, headParameters, type LayerRange, matrixParametersOfLayers } from '@deos/domain'
import { openModel } from '@deos/engine/weights'
import { linkSettings, pairKey, type WanProfile } from '@deos/wan'
import { LocalRing, type StepPace } from '../ring/local-ring.ts'
import { EmulatorProcess } from '../wan/emulator-process.ts'
import type { NamedModel } from './calibration-models.ts'

/**
 * Of four workers, each on an engine of another speed. The engines are imitated: steps are computed, and then last as long
 * as they would there, several times what they take here. So the workers do not wait for each other's cores, which
 * machines of their own would not make them do either.
 */
export const paces: readonly StepPace[] = [
  { stepMs: 5, sessionMs: 0.5, promptTokenMs: 0.25 },
  { stepMs: 9, sessionMs: 1, promptTokenMs: 0.45 },
  { stepMs: 6, sessionMs: 0.6, promptTokenMs: 0.3 },
  { stepMs: 12, sessionMs: 1.4, promptTokenMs: 0.6 },
]

const scaled = (scale: number): readonly StepPace[] =>
  paces.map(({ stepMs, sessionMs, promptTokenMs }) => ({
    ...{ stepMs: stepMs * scale, sessionMs: sessionMs * scale, promptTokenMs: promptTokenMs * scale },
  }))

export const sessionTokens = 320
export const mostSessions = 32

/** Sites some milliseconds apart, every way a different one. */
export const profile: WanProfile = {
  ...{ name: 'calibration', title: 'Four sites near each other', source: 'assumed', licence: 'Apache-2.0' },
  sites: ['a', 'b', 'c', 'd'].map((name) => ({ name })),
  inside: { oneWayMs: 0 },
  links: [
    { from: 'a', to: 'b', oneWayMs: 4 },
    { from: 'b', to: 'c', oneWayMs: 9 },
    { from: 'c', to: 'd', oneWayMs: 2 },
    { from: 'd', to: 'a', oneWayMs: 12 },
    { from: 'a', to: 'c', oneWayMs: 7 },
    { from: 'b', to: 'd', oneWayMs: 8 },
  ],
}

/** One way, in ms. */
export function oneWayMs(from: number, to: number): number {
  const [a, b] = [profile.sites[from]!.name, profile.sites[to]!.name]
  return a === b ? profile.inside.oneWayMs : linkSettings(profile).get(pairKey(a, b))!.oneWayMs
}

export interface RingPaths {
  readonly model: string
  /** `dist/worker.mjs` and `dist/wan.mjs`. */
  readonly workerEntry: string
  readonly wanEntry: string
  readonly cacheDir: string
}

export interface CalibratedModel {
  readonly name: string
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly layers: readonly LayerRange[]
  readonly kvBytes: number
  readonly paceScale: number
}

export async function readModel({ name, path, paceScale = 1 }: NamedModel): Promise<CalibratedModel> {
  const { config } = await openModel(path, { vocabulary: false })
  return {
    ...{ name, paceScale },
    ...{ vocabSize: config.vocabSize, hiddenSize: config.hiddenSize },
    layers: balanceLayers(
      { layers: matrixParametersOfLayers(config), head: headParameters(config) },
      paces.map(() => 1),
    ),
    kvBytes: 2 * 2 * config.kvHeads * config.headDim * config.layers * sessionTokens * mostSessions,
  }
}

interface RingChoice {
  /** All workers at one place, without the emulated links. */
  readonly near: boolean
  readonly prefillChunkTokens?: number
}

/** Runs `work` on a ring of four workers with unequal speeds. */
export async function withRing<T>(
  paths: RingPaths,
  model: CalibratedModel,
  { near, ...changes }: RingChoice,
  work: (ring: LocalRing) => Promise<T>,
): Promise<T> {
  const emulator = near ? null : await EmulatorProcess.start(paths.wanEntry, profile)
  try {
    const ring = await LocalRing.start({
      ...{ workerEntry: paths.workerEntry, modelPath: paths.model, layers: model.layers },
      ...{
        threadsPerWorker: 1,
        sessions: mostSessions,
        tokensPerSession: sessionTokens,
        paces: scaled(model.paceScale),
      },
      ...{ kvBytesPerWorker: model.kvBytes, cacheDir: paths.cacheDir, microbatches: paces.length },
      ...(emulator === null ? {} : { places: emulator.sites }),
      ...changes,
    })
    try {
      return await work(ring)
    } finally {
      await ring.stop()
    }
  } finally {
    await emulator?.stop()
  }
}
