import {
  balanceLayers,
  headParameters,
  type LayerRange,
  layerCount,
  type ModelConfig,
  matrixParametersOfLayers,
} from '@deos/domain'
import { chooseKvType, type KvType } from '@deos/engine/kv-type'
import { UsageError } from '../cli-error.ts'
import { planKvBudget } from './kv-budget.ts'
import type { AdapterFile, ServingSettings } from './serving-settings.ts'
import type { WorkerProfile } from './worker-profiles.ts'

/** What one worker is told to be, as it reads it from `DEOS_ASSIGNMENT`. */
export interface WorkerAssignment {
  readonly worker: string
  readonly ring: string
  readonly stage: number
  readonly stages: number
  readonly layers: LayerRange
  /** `host:port`; port 0 lets the system choose. */
  readonly listen: string
  readonly model: { readonly id: string; readonly path: string }
  readonly weightType: string
  readonly kvType: KvType
  readonly kvBytes: number
  readonly contextLength: number
  readonly maxBatchTokens: number
  readonly threads: number
  readonly device: string | null
  readonly cacheDir: string
  readonly speed: number
  readonly microbatches: number
  readonly maxSessions: number
  readonly maxQueued: number
  readonly prefixCache: boolean
  readonly prefillChunkTokens: number | 'auto'
  readonly adapters: readonly AdapterFile[]
}

export interface RingSettings {
  readonly ring: string
  readonly model: { readonly id: string; readonly path: string }
  readonly config: ModelConfig
  readonly profiles: readonly WorkerProfile[]
  readonly weightType: string
  readonly kvType: KvType | 'auto'
  readonly contextLength: number | null
  readonly kvBytes: number | null
  /** KV memory that may be taken without asking. */
  readonly spareBytes: number
  readonly threads: number
  readonly device: string | null
  readonly cacheDir: string
  readonly maxSessions: number
  readonly maxQueued: number
  readonly serving: ServingSettings
}

export interface RingPlan {
  readonly assignments: readonly WorkerAssignment[]
  readonly profiles: readonly WorkerProfile[]
  readonly contextLength: number
  readonly poolTokens: number
  readonly kvType: KvType
}

/** Tokens of a step, unless longer prompt chunks are asked for. */
const MAX_BATCH_TOKENS = 512

const largestBatch = (chunkTokens: number | 'auto'): number =>
  chunkTokens === 'auto' ? MAX_BATCH_TOKENS : Math.max(MAX_BATCH_TOKENS, chunkTokens)

/**
 * Cuts a model over workers so that the slowest is as fast as can be, and shares KV memory by their memory.
 *
 * @throws UsageError if there are more workers than layers, or the memory does not hold the context
 */
export function planRing(settings: RingSettings): RingPlan {
  const { config, profiles } = settings
  if (profiles.length > config.layers) {
    throw new UsageError(
      `${config.name} has ${config.layers} layers, too few for ${profiles.length} workers of at least one.`,
      `Give --workers ${config.layers} or fewer.`,
    )
  }
  const ranges = balanceLayers(
    { layers: matrixParametersOfLayers(config), head: headParameters(config) },
    profiles.map(({ speed }) => speed),
  )
  const kvType = chooseKvType(settings.kvType, config.headDim)
  const { contextLength, poolTokens, workerBytes } = planKvBudget({
    config,
    kvType,
    shares: profiles.map(({ memory }, stage) => ({ layers: layerCount(ranges[stage]!), memory })),
    contextLength: settings.contextLength,
    totalBytes: settings.kvBytes,
    spareBytes: settings.spareBytes,
  })
  const { ring, model, weightType, threads, device, cacheDir, maxSessions, maxQueued } = settings
  const assignments = profiles.map(
    ({ name, speed }, stage): WorkerAssignment => ({
      worker: `${stage}-${name}`,
      ring,
      stage,
      stages: profiles.length,
      layers: ranges[stage]!,
      listen: '127.0.0.1:0',
      model,
      weightType,
      kvType,
      kvBytes: workerBytes[stage]!,
      contextLength,
      maxBatchTokens: largestBatch(settings.serving.prefillChunkTokens),
      threads,
      device,
      cacheDir,
      speed,
      microbatches: profiles.length,
      maxSessions,
      maxQueued,
      ...settings.serving,
    }),
  )
  return { assignments, profiles, contextLength, poolTokens, kvType }
}
