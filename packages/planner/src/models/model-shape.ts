import type { ModelConfig } from '@deos/domain'
import { ModelDescriptionError } from './errors.ts'

type SharedWithConfig = Pick<
  ModelConfig,
  | 'architecture'
  | 'name'
  | 'layers'
  | 'hiddenSize'
  | 'feedForwardSize'
  | 'heads'
  | 'kvHeads'
  | 'headDim'
  | 'ropeDim'
  | 'vocabSize'
  | 'contextLength'
  | 'slidingWindow'
  | 'experts'
  | 'latentAttention'
  | 'tiedEmbeddings'
>

/** What models the engine runs have in common and others, which may still be planned for, do not. */
export interface ShapeTraits {
  /** Three matrices (gate, up, down) in the feed-forward network, or two. */
  readonly gatedFeedForward: boolean
  readonly attentionBiases: 'none' | 'query key value' | 'output' | 'all'
  readonly feedForwardBiases: boolean
  /** Norms with a bias beside their weight. */
  readonly normBiases: boolean
  readonly normsPerLayer: number
  /** Norms over each head's query and key. */
  readonly headNorms: boolean
  readonly finalNorm: boolean
  /** Rows of a table of learned positions; 0 if there is none. */
  readonly learnedPositions: number
  /** Width of the embedding table; projections lead to and from `hiddenSize` if it differs. */
  readonly embeddingSize: number
  /** A bias added to router scores, as DeepSeek-V3 does. */
  readonly routerBias: boolean
}

/** All that is needed to count a decoder-only transformer's parameters, bytes and FLOPs. */
export interface ModelShape extends SharedWithConfig, ShapeTraits {
  /** What the description did not say and was taken for granted. */
  readonly assumptions: readonly string[]
}

export const llamaTraits = (hiddenSize: number): ShapeTraits => ({
  gatedFeedForward: true,
  attentionBiases: 'none',
  feedForwardBiases: false,
  normBiases: false,
  normsPerLayer: 2,
  headNorms: false,
  finalNorm: true,
  learnedPositions: 0,
  embeddingSize: hiddenSize,
  routerBias: false,
})

/** Traits by `general.architecture` or `model_type`, where they differ from Llama's. */
export const traitsByArchitecture: Readonly<Record<string, Partial<ShapeTraits>>> = {
  llama: {},
  mistral: {},
  mixtral: {},
  phi3: {},
  gemma: {},
  gemma2: { normsPerLayer: 4 },
  gemma3: { normsPerLayer: 4, headNorms: true },
  gemma3_text: { normsPerLayer: 4, headNorms: true },
  qwen2: { attentionBiases: 'query key value' },
  qwen2moe: { attentionBiases: 'query key value' },
  qwen2_moe: { attentionBiases: 'query key value' },
  qwen3: { headNorms: true },
  qwen3moe: { headNorms: true },
  qwen3_moe: { headNorms: true },
  deepseek2: {},
  deepseek_v2: {},
  deepseek_v3: { routerBias: true },
  ...Object.fromEntries(
    ['opt', 'gpt2'].map((name) => [
      name,
      { gatedFeedForward: false, attentionBiases: 'all', feedForwardBiases: true, normBiases: true },
    ]),
  ),
  gpt_neo: { gatedFeedForward: false, attentionBiases: 'output', feedForwardBiases: true, normBiases: true },
  gpt_neox: { gatedFeedForward: false, attentionBiases: 'all', feedForwardBiases: true, normBiases: true },
}

/** The shape of a model the engine has opened. */
export function shapeOfConfig(config: ModelConfig): ModelShape {
  const known = traitsByArchitecture[config.architecture]
  return checkShape({
    ...config,
    ...llamaTraits(config.hiddenSize),
    ...known,
    assumptions: known === undefined ? [layersLikeLlama(config.architecture)] : [],
  })
}

export const layersLikeLlama = (architecture: string): string =>
  `"${architecture}" is not in the table of architectures; its layers are taken to be Llama's (gated feed-forward network, two norms, no biases).`

/** @throws ModelDescriptionError if fields contradict each other */
export function checkShape(shape: ModelShape): ModelShape {
  const { heads, kvHeads, experts } = shape
  if (heads % kvHeads !== 0) {
    throw new ModelDescriptionError(
      'kvHeads',
      kvHeads,
      `a divisor of the ${heads} attention heads, for heads share K and V in equal groups`,
    )
  }
  if (experts !== null && experts.used > experts.count) {
    throw new ModelDescriptionError(
      'experts.used',
      experts.used,
      `at most the ${experts.count} experts there are`,
    )
  }
  return shape
}

/** Positions a token of this layer looks back at most, itself included. */
export function lookBack({ slidingWindow }: ModelShape, layer: number): number {
  return slidingWindow?.layers[layer] === true ? slidingWindow.size : Number.POSITIVE_INFINITY
}
