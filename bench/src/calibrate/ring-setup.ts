import { balanceLayers, headParameters, type LayerRange, matrixParametersOfLayers } from '@deos/domain'
import { openModel } from '@deos/engine/weights'
import { linkSettings, pairKey, type WanProfile } from '@deos/wan'
import { LocalRing } from '../ring/local-ring.ts'
import { EmulatorProcess } from '../wan/emulator-process.ts'

/** Of four workers: unequal, and together no more than one core, so that none waits for another's. */
export const speeds: readonly number[] = [0.35, 0.2, 0.3, 0.15]

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
}

export async function readModel(path: string, name: string): Promise<CalibratedModel> {
  const { config } = await openModel(path, { vocabulary: false })
  return {
    name,
    ...{ vocabSize: config.vocabSize, hiddenSize: config.hiddenSize },
    layers: balanceLayers(
      { layers: matrixParametersOfLayers(config), head: headParameters(config) },
      speeds.map(() => 1),
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
      ...{ threadsPerWorker: 1, sessions: mostSessions, tokensPerSession: sessionTokens, speeds },
      ...{ kvBytesPerWorker: model.kvBytes, cacheDir: paths.cacheDir, microbatches: speeds.length },
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
