import { isExpertLayer, kvWidths } from '@deos/domain'
import { type LayerMatrix, layerMatrices, type MatrixKind } from './matrices.ts'
import { lookBack, type ModelShape } from './model-shape.ts'

/** What is done with the model at once. */
export type Phase =
  /** `sequences` prompts of `tokens` each behind `past` cached ones (a later chunk, a shared prefix). */
  | { readonly kind: 'prefill'; readonly sequences: number; readonly tokens: number; readonly past: number }
  /** One token for each of `sequences`, each with `past` cached ones. */
  | { readonly kind: 'decode'; readonly sequences: number; readonly past: number }
  /** Forward and backward pass of one microbatch. */
  | { readonly kind: 'training'; readonly sequences: number; readonly tokens: number }

export interface Precision {
  readonly weightBytes: number
  readonly activationBytes: number
  readonly kvBytes: number
}

/** Everything in 16 bits. */
export const halfPrecision: Precision = { weightBytes: 2, activationBytes: 2, kvBytes: 2 }

export type OperatorKind = MatrixKind | 'embedding' | 'norms' | 'attention' | 'head'

/** One step of a layer, with what it computes and moves. */
export interface Operator {
  readonly kind: OperatorKind
  /** Floating point operations, a multiplication and an addition being two; forward and backward when training. */
  readonly flops: number
  /** Bytes of weights read once; of experts, those that some token is expected to be sent to. */
  readonly weightBytes: number
  /** Bytes of activations in and out. */
  readonly activationBytes: number
  /** Bytes of cached K and V read and written. */
  readonly kvBytes: number
  /** FLOPs for each byte moved. */
  readonly intensity: number
}

export interface LayerGraph {
  /** `null` for what stands before and behind the layers. */
  readonly layer: number | null
  readonly operators: readonly Operator[]
  readonly flops: number
  readonly weightBytes: number
  readonly activationBytes: number
  readonly kvBytes: number
}

/** Embedding, every layer and head, in order; layers that are alike share their `operators`. Routing to experts is taken to be even. */
export function operatorGraph(
  shape: ModelShape,
  phase: Phase,
  precision = halfPrecision,
): readonly LayerGraph[] {
  const view = { shape, phase, precision, tokens: tokensAtOnce(phase) }
  const known = new Map<string, LayerGraph>()
  const layerOf = (layer: number): LayerGraph => {
    const key = `${isExpertLayer(shape, layer)}|${lookBack(shape, layer)}`
    const alike = known.get(key)
    if (alike !== undefined) return { ...alike, layer }
    const made = layerGraph(layer, layerOperators(view, layer))
    known.set(key, made)
    return made
  }
  return [
    layerGraph(null, [embedding(view)]),
    ...Array.from({ length: shape.layers }, (_, layer) => layerOf(layer)),
    layerGraph(null, [head(view)]),
  ]
}

interface View {
  readonly shape: ModelShape
  readonly phase: Phase
  readonly precision: Precision
  readonly tokens: number
}

const tokensAtOnce = (phase: Phase): number =>
  phase.kind === 'decode' ? phase.sequences : phase.sequences * phase.tokens

/** The backward pass computes gradients of inputs and of weights: twice the forward pass. */
const passes = ({ phase }: View): number => (phase.kind === 'training' ? 3 : 1)

/** A layer of these operators. */
export function layerGraph(layer: number | null, operators: readonly Operator[]): LayerGraph {
  const sum = (key: 'flops' | 'weightBytes' | 'activationBytes' | 'kvBytes') =>
    operators.reduce((total, operator) => total + operator[key], 0)
  return {
    layer,
    operators,
    flops: sum('flops'),
    weightBytes: sum('weightBytes'),
    activationBytes: sum('activationBytes'),
    kvBytes: sum('kvBytes'),
  }
}

function operator(
  view: View,
  kind: OperatorKind,
  forward: { flops?: number; weights?: number; activations: number; kvBytes?: number },
): Operator {
  const { precision } = view
  const flops = (forward.flops ?? 0) * passes(view)
  const weightBytes = (forward.weights ?? 0) * precision.weightBytes * passes(view)
  const activationBytes = forward.activations * precision.activationBytes * passes(view)
  const kvBytes = forward.kvBytes ?? 0
  return {
    kind,
    flops,
    weightBytes,
    activationBytes,
    kvBytes,
    intensity: flops / (weightBytes + activationBytes + kvBytes),
  }
}

function embedding(view: View): Operator {
  const { shape, tokens } = view
  const { embeddingSize, hiddenSize } = shape
  const projection = embeddingSize === hiddenSize ? 0 : embeddingSize * hiddenSize
  return operator(view, 'embedding', {
    flops: 2 * tokens * projection,
    weights: projection,
    activations: tokens * (embeddingSize + hiddenSize),
  })
}

/** Prefill needs the logits of each prompt's last token only. */
function head(view: View): Operator {
  const { shape, phase, tokens } = view
  const rows = phase.kind === 'prefill' ? phase.sequences : tokens
  const projection = shape.embeddingSize === shape.hiddenSize ? 0 : shape.embeddingSize * shape.hiddenSize
  const weights = shape.embeddingSize * shape.vocabSize + projection
  return operator(view, 'head', {
    flops: 2 * rows * weights,
    weights,
    activations: rows * (shape.hiddenSize + shape.vocabSize),
  })
}

function layerOperators(view: View, layer: number): readonly Operator[] {
  const { shape, tokens } = view
  const matrices = layerMatrices(shape, layer)
  const kinds = [...new Set(matrices.map(({ kind }) => kind))]
  const products = kinds.map((kind) =>
    matrixOperator(
      view,
      kind,
      matrices.filter((matrix) => matrix.kind === kind),
    ),
  )
  const norms = operator(view, 'norms', {
    flops: 4 * tokens * shape.hiddenSize * shape.normsPerLayer,
    weights: shape.normsPerLayer * shape.hiddenSize,
    activations: 2 * tokens * shape.hiddenSize * shape.normsPerLayer,
  })
  const [queryKeyValue, ...others] = products
  return [norms, queryKeyValue!, attention(view, layer), ...others]
}

function matrixOperator(view: View, kind: MatrixKind, matrices: readonly LayerMatrix[]): Operator {
  const { tokens } = view
  let products = 0
  let weights = 0
  let activations = 0
  for (const { input, output, copies, used } of matrices) {
    products += tokens * used * input * output
    weights += input * output * expectedCopies(copies, used, tokens)
    activations += tokens * used * (input + output)
  }
  return operator(view, kind, { flops: 2 * products, weights, activations })
}

/** How many of `copies` at least one of the tokens goes through, each choosing `used` of them evenly. */
const expectedCopies = (copies: number, used: number, tokens: number): number =>
  copies * (1 - (1 - used / copies) ** tokens)

/**
 * Scores and weighted values, never stored (as in FlashAttention). While decoding, latent attention works on the cached
 * vectors themselves, with the key and value matrices multiplied into queries and outputs.
 */
function attention(view: View, layer: number): Operator {
  const { shape, phase, precision, tokens } = view
  const { heads, headDim, ropeDim, latentAttention } = shape
  const absorbed = phase.kind === 'decode' && latentAttention !== null
  const keyDim = absorbed ? latentAttention.kvRank + ropeDim : headDim
  const valueDim = absorbed ? latentAttention.kvRank : (latentAttention?.valueDim ?? headDim)
  const { pairs, cachedRead } = attentionReach(phase, lookBack(shape, layer))
  const { k, v } = kvWidths(shape)
  return operator(view, 'attention', {
    flops: 2 * pairs * heads * (keyDim + valueDim),
    activations: tokens * heads * (keyDim + valueDim),
    kvBytes: phase.kind === 'training' ? 0 : (cachedRead + tokens) * (k + v) * precision.kvBytes,
  })
}

/** Pairs of a token and one it looks back at, and cached tokens read, over all sequences. */
function attentionReach(phase: Phase, window: number): { pairs: number; cachedRead: number } {
  const { sequences } = phase
  if (phase.kind === 'decode') {
    const seen = Math.min(phase.past + 1, window)
    return { pairs: sequences * seen, cachedRead: sequences * Math.min(phase.past, window) }
  }
  const past = phase.kind === 'prefill' ? phase.past : 0
  const pairs = pairsUpTo(past + phase.tokens, window) - pairsUpTo(past, window)
  return { pairs: sequences * pairs, cachedRead: sequences * Math.min(past, window) }
}

/** Pairs among the first `tokens` positions, each looking back at most `window`. */
function pairsUpTo(tokens: number, window: number): number {
  const growing = Math.min(tokens, window)
  return (growing * (growing + 1)) / 2 + (tokens > window ? (tokens - window) * window : 0)
}
