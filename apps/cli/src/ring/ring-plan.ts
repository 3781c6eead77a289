import {
  type ActivationCoding,
  balanceLayers,
  headParameters,
  type LayerRange,
  layerCount,
  type ModelConfig,
  matrixParametersOfLayers,
} from '@deos/domain'
import { chooseKvType, type KvType } from '@deos/engine/kv-type'
import { UsageError } from '../cli-error.ts'
import { planKvBudget, rankKvBytes } from './kv-budget.ts'
import { checkCoverage, type PlannedStage, rankCount, type StageSplit } from './plan-file.ts'
import type { AdapterFile, ServingSettings } from './serving-settings.ts'
import type { WorkerProfile } from './worker-profiles.ts'

/** What one worker is told to be, as it reads it from `DEOS_ASSIGNMENT`. */
export interface WorkerAssignment {
  readonly worker: string
  readonly ring: string
  readonly stage: number
  readonly stages: number
  readonly layers: LayerRange
  /** Among how many ranks the stage is divided, and which of them this is. */
  readonly split: StageSplit
  readonly rank: number
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
  readonly activations: ActivationCoding
}

export interface RingSettings {
  readonly ring: string
  /** Which of several rings this is; its workers are named after it. */
  readonly replica?: number
  readonly model: { readonly id: string; readonly path: string }
  readonly config: ModelConfig
  readonly profiles: readonly WorkerProfile[]
  /** One for each profile, decided elsewhere; null divides the layers by the profiles' speeds. */
  readonly stages: readonly PlannedStage[] | null
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
  /** Stage by stage, and within it rank by rank. */
  readonly assignments: readonly WorkerAssignment[]
  readonly profiles: readonly WorkerProfile[]
  readonly contextLength: number
  readonly poolTokens: number
  readonly kvType: KvType
}

/** Rings of one model as what they are together. */
export const together = (plans: readonly RingPlan[]): RingPlan => ({
  ...plans[0]!,
  assignments: plans.flatMap(({ assignments }) => assignments),
  profiles: plans.flatMap(({ profiles }) => profiles),
  poolTokens: plans.reduce((sum, { poolTokens }) => sum + poolTokens, 0),
})

/** Tokens of a step, unless longer prompt chunks are asked for. */
const MAX_BATCH_TOKENS = 512

const largestBatch = (chunkTokens: number | 'auto'): number =>
  chunkTokens === 'auto' ? MAX_BATCH_TOKENS : Math.max(MAX_BATCH_TOKENS, chunkTokens)

/**
 * Cuts a model over workers so that the slowest is as fast as can be, and shares KV memory by their memory.
 *
 * @throws UsageError if there are more workers than layers, the stages asked for do not hold the model, or the memory does
 *   not hold the context
 */
export function planRing(settings: RingSettings): RingPlan {
  const { config, profiles } = settings
  if (profiles.length > config.layers) {
    throw new UsageError(
      `${config.name} has ${config.layers} layers, too few for ${profiles.length} workers of at least one.`,
      `Give --workers ${config.layers} or fewer.`,
    )
  }
  const stages = settings.stages ?? balanced(settings)
  checkCoverage(stages, config.layers)
  checkAdapters(stages, settings.serving.adapters)
  const kvType = chooseKvType(settings.kvType, config.headDim)
  const { contextLength, poolTokens, workerBytes } = planKvBudget({
    config,
    kvType,
    shares: profiles.map(({ memory }, stage) => ({ layers: layerCount(stages[stage]!.layers), memory })),
    contextLength: settings.contextLength,
    totalBytes: settings.kvBytes,
    spareBytes: settings.spareBytes,
  })
  const { ring, model, weightType, threads, device, cacheDir, maxSessions, maxQueued } = settings
  const prefix = settings.replica === undefined ? '' : `r${settings.replica}-`
  const assignment = (stage: number, rank: number): WorkerAssignment => {
    const { layers, split, workers } = stages[stage]!
    const { name, speed } = profiles[stage]!
    const kvShare = workerBytes[stage]!
    return {
      worker: `${prefix}${stage}-${workers?.[rank] ?? (rank === 0 ? name : `${name}.${rank}`)}`,
      ring,
      stage,
      stages: profiles.length,
      ...{ layers, split, rank },
      listen: '127.0.0.1:0',
      model,
      weightType,
      kvType,
      kvBytes:
        rankCount(split) === 1
          ? kvShare
          : rankKvBytes(kvShare, layerCount(layers), { config, kvType }, split),
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
    }
  }
  const assignments = stages.flatMap(({ split }, stage) =>
    Array.from({ length: rankCount(split) }, (_, rank) => assignment(stage, rank)),
  )
  return { assignments, profiles, contextLength, poolTokens, kvType }
}

const unsplit: StageSplit = { tensor: 1, experts: 1, context: 1 }

const balanced = ({ config, profiles }: RingSettings): readonly PlannedStage[] =>
  balanceLayers(
    { layers: matrixParametersOfLayers(config), head: headParameters(config) },
    profiles.map(({ speed }) => speed),
  ).map((layers) => ({ layers, split: unsplit }))

function checkAdapters(stages: readonly PlannedStage[], adapters: readonly AdapterFile[]): void {
  if (adapters.length === 0 || stages.every(({ split }) => rankCount(split) === 1)) return
  throw new UsageError(
    `The plan divides a stage among ranks, which adapters such as ${adapters[0]!.name} are not.`,
    'Leave out --lora, or give every stage one rank.',
  )
}
