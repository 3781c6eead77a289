import {
  headParameters,
  kvBytesPerTokenPerLayer,
  type ModelConfig,
  matrixParametersOfLayers,
} from '@deos/domain'
import { type TensorType, tensorBytes } from '../ggml/tensor-type.ts'
import { familyOf, familyTensors, layerPrefix, mayBeAbsent, type TensorRule } from './families/index.ts'
import type { ModelSource } from './model-source.ts'
import { countElements } from './tensor-data.ts'
import { targetType, type WeightType, weightTypes } from './type-policy.ts'

type BytesByType = Readonly<Record<WeightType, number>>

/** Figures of one part of a model: the embedding, one layer, or the head. */
export interface PartDescription {
  readonly parameters: number
  /** As stored in the files that were opened, FP8 as the BF16 it is read as; `null` where only the shape is known. */
  readonly storedBytes: number | null
  /** If converted to each type, vectors kept in F32. */
  readonly bytes: BytesByType
}

export interface ModelDescription {
  readonly config: ModelConfig
  /** All of them; a head tied to the embedding counts once. */
  readonly parameters: number
  readonly storedBytes: number | null
  readonly bytes: BytesByType
  readonly embedding: PartDescription
  readonly layers: readonly PartDescription[]
  /** The output norm, and the output matrix unless it is tied to the embedding. */
  readonly head: PartDescription
  /** K and V of all layers. */
  readonly kvBytesPerToken: { readonly f16: number; readonly f32: number }
  readonly flops: FlopsDescription
}

export interface FlopsDescription {
  /** Matrix products of each layer for one token, attention scores left out. */
  readonly linearOfLayers: readonly number[]
  /** Hidden state to logits for one token. */
  readonly head: number
  /** Attention scores and values of one layer, for one token and each position it looks back at. */
  readonly attentionPerLayerPerPosition: number
  /** One decoded token with an empty cache, with half of the model's context, and with all of it. */
  readonly decode: readonly { readonly context: number; readonly flops: number }[]
  /** One whole prompt, logits of its last token only. */
  readonly prefill: readonly { readonly promptTokens: number; readonly flops: number }[]
}

/**
 * Counts parameters, bytes and FLOPs of a model.
 */
export function describeModel(source: ModelSource): ModelDescription {
  return describe(source.config, (name) => source.tensors.get(name)?.sizeBytes ?? 0)
}

/** The same from a model's shape alone, without files. @throws UnsupportedModelError for an unknown architecture */
export function describeShape(config: ModelConfig): ModelDescription {
  return describe(config, null)
}

function describe(config: ModelConfig, stored: ((name: string) => number) | null): ModelDescription {
  const rules = familyTensors(familyOf(config.architecture, config.name), config)
  // Frequency factors are constants, not parameters.
  const present = [...rules].filter(
    ([name, rule]) => name !== 'rope_freqs.weight' && !mayBeAbsent(rule, config),
  )
  const part = (belongs: (name: string) => boolean) =>
    describePart(
      config,
      stored,
      present.filter(([name]) => belongs(name)),
    )
  return {
    config,
    ...part(() => true),
    embedding: part((name) => name === 'token_embd.weight'),
    layers: Array.from({ length: config.layers }, (_, layer) =>
      part((name) => name.startsWith(layerPrefix(layer))),
    ),
    head: part((name) => name === 'output_norm.weight' || name === 'output.weight'),
    kvBytesPerToken: {
      f16: config.layers * kvBytesPerTokenPerLayer(config, 2),
      f32: config.layers * kvBytesPerTokenPerLayer(config, 4),
    },
    flops: describeFlops(config),
  }
}

function describePart(
  config: ModelConfig,
  stored: ((name: string) => number) | null,
  tensors: readonly (readonly [string, TensorRule])[],
): PartDescription {
  const shapes = tensors.map(([name, rule]) => ({ name, type: 'F32' as const, shape: rule.shape(config) }))
  const sum = (count: (tensor: (typeof shapes)[number]) => number) =>
    shapes.reduce((total, tensor) => total + count(tensor), 0)
  const inType = (type: TensorType) => sum((tensor) => tensorBytes(targetType(tensor, type), tensor.shape))
  return {
    parameters: sum(({ shape }) => countElements(shape)),
    storedBytes: stored ? sum(({ name }) => stored(name)) : null,
    bytes: Object.fromEntries(weightTypes.map((type) => [type, inType(type)])) as Record<WeightType, number>,
  }
}

function describeFlops(config: ModelConfig): FlopsDescription {
  const contexts = [...new Set([1, Math.ceil(config.contextLength / 2), config.contextLength])]
  const prompts = [...new Set([128, 1024, config.contextLength])].filter(
    (tokens) => tokens <= config.contextLength,
  )
  return {
    linearOfLayers: linearFlopsOfLayers(config),
    head: headFlops(config),
    attentionPerLayerPerPosition: attentionFlopsPerPosition(config),
    decode: contexts.map((context) => ({ context, flops: decodeFlops(config, context) })),
    prefill: prompts.map((promptTokens) => ({ promptTokens, flops: prefillFlops(config, promptTokens) })),
  }
}

/**
 * A multiplication by a matrix of P parameters is 2P FLOPs per token (one multiply and one add each).
 *
 * @see Kaplan et al. 2020, section 2.1 and table 1 (arXiv:2001.08361)
 */
export const linearFlopsOfLayers = (config: ModelConfig): readonly number[] =>
  matrixParametersOfLayers(config).map((parameters) => 2 * parameters)

export const headFlops = (config: ModelConfig): number => 2 * headParameters(config)

/**
 * A query's product with one key and the weight of one value, all heads: twice 2 · heads · headDim. Latent attention
 * works on the compressed vectors that are cached, which are wider than its heads.
 *
 * @see Chowdhery et al. 2022, appendix B: 12LHQT for forward and backward, a third of it forward (arXiv:2204.02311)
 */
export function attentionFlopsPerPosition(config: ModelConfig): number {
  const { heads, headDim, ropeDim, latentAttention } = config
  if (latentAttention === null) return 4 * heads * headDim
  return 2 * heads * (2 * latentAttention.kvRank + ropeDim)
}

const linearFlops = (config: ModelConfig): number =>
  linearFlopsOfLayers(config).reduce((sum, flops) => sum + flops, 0)

/** Pairs of a query and a position it looks back at, in all layers, for the tokens `[first, end)` of a sequence. */
function attendedPositions({ layers, slidingWindow }: ModelConfig, first: number, end: number): number {
  const windowed = slidingWindow?.layers.filter(Boolean).length ?? 0
  const all = (layers - windowed) * (triangle(end) - triangle(first))
  if (slidingWindow === null) return all
  const inWindow = slidingWindow.kind === 'sliding' ? slidingPositions : chunkedPositions
  return all + windowed * (inWindow(end, slidingWindow.size) - inWindow(first, slidingWindow.size))
}

/** 1 + 2 + … + n. */
const triangle = (n: number): number => (n * (n + 1)) / 2

function slidingPositions(tokens: number, size: number): number {
  const growing = Math.min(tokens, size)
  return triangle(growing) + (tokens - growing) * size
}

const chunkedPositions = (tokens: number, size: number): number =>
  Math.floor(tokens / size) * triangle(size) + triangle(tokens % size)

/** FLOPs to decode one token that looks back at `context` positions, itself included. */
export function decodeFlops(config: ModelConfig, context: number): number {
  const positions = context === 0 ? 0 : attendedPositions(config, context - 1, context)
  return linearFlops(config) + attentionFlopsPerPosition(config) * positions + headFlops(config)
}

/** FLOPs of a prompt from an empty cache; causal, so token n looks back at n positions; logits of the last only. */
export function prefillFlops(config: ModelConfig, promptTokens: number): number {
  const attention = attentionFlopsPerPosition(config) * attendedPositions(config, 0, promptTokens)
  return linearFlops(config) * promptTokens + attention + headFlops(config)
}
