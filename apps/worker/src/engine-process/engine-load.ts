import { availableParallelism } from 'node:os'
import type { ActivationCoding, LayerRange } from '@deos/domain'
import { bytes, DomainError, formatBytes } from '@deos/domain'
import {
  Backend,
  type Collective,
  chooseKvType,
  type KvType,
  kvPageBytes,
  rankModel,
  rankPlace,
  Stage,
  type StageSplit,
  type TensorType,
} from '@deos/engine'
import { type ModelSource, openModel, resolveStageWeights } from '@deos/engine/weights'
import type { RingCapacity } from '@deos/protocol'

/** A LoRA adapter that sessions may ask for by name. */
export interface AdapterAssignment {
  readonly name: string
  /** PEFT folder or GGUF file. */
  readonly path: string
}

/** What an engine process is to hold. */
export interface EngineAssignment {
  readonly modelPath: string
  /** Null computes it; a sparse copy lacks the bytes for that. */
  readonly fingerprint: string | null
  readonly layers: LayerRange
  /** Among how many ranks the stage is divided, and which of them this is. */
  readonly split: StageSplit
  readonly rank: number
  /** `native` keeps the file's types. */
  readonly weightType: TensorType | 'native'
  /** `auto` takes F16 where the CPU kernels are fast with it. */
  readonly kvType: KvType | 'auto'
  readonly kvBytes: number
  readonly contextLength: number
  readonly maxBatchTokens: number
  readonly threads: number
  readonly device: string | null
  readonly cacheDir: string
  readonly adapters: readonly AdapterAssignment[]
  /** Share of the machine's speed to use: 0.5 takes twice as long. For demonstrations on one machine. */
  readonly speed: number
  /** How hidden states are written for the next stage. */
  readonly activations: ActivationCoding
  readonly pace?: StepPace | undefined
}

/** A slower engine than this machine's is imitated: a step takes so long at least. For measurements beside others' work. */
export interface StepPace {
  readonly stepMs: number
  /** For each session that decodes in it. */
  readonly sessionMs: number
  /** For each token of a prompt. */
  readonly promptTokenMs: number
}

export interface LoadedStage {
  readonly source: ModelSource
  readonly backend: Backend
  readonly stage: Stage
  readonly capacity: RingCapacity
  readonly embedding: boolean
  readonly head: boolean
  /** To the other ranks of the stage. */
  readonly collective: Collective
}

export class KvBudgetError extends DomainError {
  readonly code = 'KV_BUDGET'
  readonly retriable = false
}

const noOthers: Collective = {
  rank: 0,
  exchange: () => Promise.reject(new Error('This rank is not linked to others.')),
}

const PAGE_TOKENS = 16
/** Attention reads cells in buckets of this many tokens. */
const BUCKET_PAGES = 256 / PAGE_TOKENS

/**
 * Loads one stage.
 *
 * @throws KvBudgetError if the KV budget holds less than one bucket of tokens; the engine's own errors
 */
export async function loadStage(
  assignment: EngineAssignment,
  onProgress: (doneBytes: number, totalBytes: number) => void,
  collective: Collective = noOthers,
): Promise<LoadedStage> {
  const source = await openModel(assignment.modelPath, {
    vocabulary: false,
    ...(assignment.fingerprint !== null && { fingerprint: assignment.fingerprint }),
  })
  const { config } = source
  const embedding = assignment.layers.first === 0
  const head = assignment.layers.end === config.layers
  const kvType = chooseKvType(assignment.kvType, config.headDim)
  const layers = assignment.layers.end - assignment.layers.first
  const weights = await resolveStageWeights({
    source,
    layers: assignment.layers,
    embedding,
    head,
    type: assignment.weightType,
    cacheDir: assignment.cacheDir,
    onProgress: ({ doneBytes, totalBytes }) => onProgress(doneBytes, totalBytes),
  })
  const { split } = assignment
  const own = rankModel(config, weights, split, rankPlace(split, assignment.rank)).config
  const pageBytes = kvPageBytes(own, layers, { type: kvType, pageTokens: PAGE_TOKENS })
  const ownPages = Math.floor(assignment.kvBytes / pageBytes / BUCKET_PAGES) * BUCKET_PAGES
  // Ranks that divide positions store different pages.
  const pageCount = ownPages * split.context
  if (pageCount === 0) {
    throw new KvBudgetError(
      `A KV budget of ${formatBytes(bytes(assignment.kvBytes))} holds fewer than 256 tokens of ${layers} layers.`,
      `Give at least ${formatBytes(bytes(pageBytes * BUCKET_PAGES))}.`,
    )
  }
  const backend = Backend.open({
    threads: Math.min(assignment.threads, availableParallelism()),
    // Nothing else runs in this process.
    inline: true,
    ...(assignment.device === null ? {} : { deviceName: assignment.device }),
  })
  const stage = await Stage.load(backend, {
    config,
    layers: assignment.layers,
    embedding,
    head,
    weights,
    kv: { type: kvType, pageCount, pageTokens: PAGE_TOKENS },
    maxBatchTokens: assignment.maxBatchTokens,
    contextLength: Math.min(assignment.contextLength, config.contextLength),
    rank: { split, collective },
  })
  const capacity: RingCapacity = {
    kvPages: pageCount,
    pageTokens: PAGE_TOKENS,
    contextLength: Math.min(assignment.contextLength, config.contextLength, pageCount * PAGE_TOKENS),
    maxBatchTokens: assignment.maxBatchTokens,
  }
  return { source, backend, stage, capacity, embedding, head, collective }
}
