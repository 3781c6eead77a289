import { DomainError, formatLayers, type LayerRange, type ModelConfig } from '@deos/domain'
import { architectures } from '../architectures/index.ts'
import {
  RankSplitError,
  type RankTensor,
  rankCount,
  rankModel,
  rankPlace,
  type StageRank,
} from '../ranks/index.ts'
import { requiredLayerTensors } from '../weights/families/index.ts'
import type { TensorInfo } from '../weights/model-source.ts'
import { attentionShape } from './attention-shape.ts'
import type { KvCacheOptions } from './kv-cache.ts'
import { checkKvType } from './kv-type.ts'
import { RankParts } from './rank-parts.ts'

export class StageConfigError extends DomainError {
  readonly code = 'STAGE_CONFIG'
  readonly retriable = false
}

export interface StageOptions {
  readonly config: ModelConfig
  readonly layers: LayerRange
  /** Holds the token embedding: takes token ids instead of hidden states. */
  readonly embedding: boolean
  /** Holds the output head: gives logits instead of hidden states. */
  readonly head: boolean
  /** The stage's weights, ready to map. */
  readonly weights: readonly TensorInfo[]
  readonly kv: KvCacheOptions
  /** Largest batch, in tokens. */
  readonly maxBatchTokens: number
  /**
   * Positions a sequence may come to hold, the same in every stage of a model: some models rotate differently in long
   * texts. Default: all the model was made for.
   */
  readonly contextLength?: number
  /** Where several ranks compute the stage: which of them this is. All are loaded with the same weights, and keep a part. */
  readonly rank?: StageRank
}

export const holdsHead = ({ head }: StageOptions, rank: RankParts | null): boolean =>
  head && rank?.isFirst !== false

/** The options with this rank's part of the model, where several compute the stage. */
export function rankOptions(options: StageOptions): {
  readonly rank: RankParts | null
  readonly own: StageOptions & { readonly weights: readonly RankTensor[] }
} {
  const { rank, config, weights } = options
  if (!rank) return { rank: null, own: options }
  const place = rankPlace(rank.split, rank.collective.rank)
  if (rankCount(rank.split) === 1) return { rank: null, own: options }
  const model = rankModel(config, weights, rank.split, place)
  const parts = new RankParts(rank, place, model.shares)
  const isHead = ({ name }: RankTensor) =>
    name.startsWith('output') || (name === 'token_embd.weight' && !options.embedding)
  const { context } = parts
  if (context && !(options.kv.type === 'F16' || options.kv.type === 'F32')) {
    throw new RankSplitError(
      `Positions in ${options.kv.type} cannot be divided among ranks.`,
      'Keep K and V in F16 or F32.',
    )
  }
  const share = context && { context: { index: context.index, ranks: context.ranks } }
  const kept = parts.isFirst ? model.weights : model.weights.filter((tensor) => !isHead(tensor))
  return {
    rank: parts,
    own: { ...options, config: model.config, weights: kept, kv: { ...options.kv, ...share } },
  }
}

export function checkOptions({
  config,
  layers,
  weights,
  kv,
  maxBatchTokens,
  embedding,
  head,
}: StageOptions): void {
  if (!architectures.has(config.architecture)) {
    throw new StageConfigError(
      `There is no graph for models of the family ${config.architecture}.`,
      `Supported: ${[...architectures.keys()].join(', ')}.`,
    )
  }
  if (layers.first < 0 || layers.end > config.layers || layers.first >= layers.end) {
    throw new StageConfigError(
      `Layers ${formatLayers(layers)} are not a part of the model's ${config.layers}.`,
      'Give a non-empty half-open range inside the model.',
    )
  }
  const { keyDim, valueDim } = attentionShape(config)
  for (const dim of [keyDim, valueDim]) checkKvType(kv.type, dim)
  if (!Number.isInteger(maxBatchTokens) || maxBatchTokens < 1) {
    throw new StageConfigError(
      `A largest batch of ${maxBatchTokens} tokens is not possible.`,
      'Give a whole number from 1 on.',
    )
  }
  const present = new Set(weights.map(({ name }) => name))
  const required = [
    ...(embedding ? ['token_embd.weight'] : []),
    ...(head ? ['output_norm.weight'] : []),
    ...requiredLayerTensors(config, layers),
  ]
  const missing = required.find((name) => !present.has(name))
  if (missing ?? (head && !present.has('output.weight') && !present.has('token_embd.weight'))) {
    throw new StageConfigError(
      `The weight ${missing ?? 'output.weight'} is missing for layers ${formatLayers(layers)}.`,
      'The model file is incomplete; convert or download it again.',
    )
  }
}
