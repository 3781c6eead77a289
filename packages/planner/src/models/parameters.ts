import { layerMatrices } from './matrices.ts'
import type { ModelShape } from './model-shape.ts'

/** Numbers of weights, and of those that one token meets (of the experts, the ones it goes through). */
export interface ParameterCounts {
  /** Token table, learned positions, and a projection if the table is narrower than the layers. */
  readonly embedding: number
  readonly layers: readonly { readonly all: number; readonly active: number }[]
  /** Final norm and head; the head counts 0 here if it is the token table once more. */
  readonly head: number
  readonly total: number
  readonly active: number
}

/** Every weight and bias, as published parameter counts are made. */
export function parameterCounts(shape: ModelShape): ParameterCounts {
  const layers = Array.from({ length: shape.layers }, (_, layer) => layerParameters(shape, layer))
  const embedding = embeddingParameters(shape)
  const head = headParameterCount(shape)
  const sum = (key: 'all' | 'active') => layers.reduce((total, layer) => total + layer[key], 0)
  return {
    embedding,
    layers,
    head,
    total: embedding + head + sum('all'),
    active: embedding + head + sum('active'),
  }
}

/** Of a layer's weights, those of experts that tokens are routed to. */
export function expertParameters(shape: ModelShape, layer: number): number {
  return layerMatrices(shape, layer)
    .filter(({ kind }) => kind === 'experts')
    .reduce(
      (sum, { input, output, bias, copies }) => sum + (input * output + (bias ? output : 0)) * copies,
      0,
    )
}

const projects = ({ embeddingSize, hiddenSize }: ModelShape): boolean => embeddingSize !== hiddenSize

function embeddingParameters(shape: ModelShape): number {
  const { vocabSize, embeddingSize, learnedPositions, hiddenSize } = shape
  const projection = projects(shape) ? embeddingSize * hiddenSize : 0
  return vocabSize * embeddingSize + learnedPositions * hiddenSize + projection
}

function headParameterCount(shape: ModelShape): number {
  const { finalNorm, tiedEmbeddings, vocabSize, embeddingSize, hiddenSize } = shape
  const projection = projects(shape) ? embeddingSize * hiddenSize : 0
  return (finalNorm ? normSize(shape) : 0) + (tiedEmbeddings ? 0 : vocabSize * embeddingSize) + projection
}

const normSize = ({ hiddenSize, normBiases }: ModelShape): number => hiddenSize * (normBiases ? 2 : 1)

function layerParameters(shape: ModelShape, layer: number): { all: number; active: number } {
  let all = layerNormParameters(shape)
  let active = all
  for (const { input, output, bias, copies, used } of layerMatrices(shape, layer)) {
    const each = input * output + (bias ? output : 0)
    all += each * copies
    active += each * used
  }
  return { all, active }
}

function layerNormParameters(shape: ModelShape): number {
  const { normsPerLayer, headNorms, headDim, latentAttention } = shape
  const ofLatent = latentAttention === null ? 0 : (latentAttention.queryRank ?? 0) + latentAttention.kvRank
  return normsPerLayer * normSize(shape) + (headNorms ? 2 * headDim : 0) + ofLatent
}
