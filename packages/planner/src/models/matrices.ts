import { isExpertLayer } from '@deos/domain'
import type { ModelShape } from './model-shape.ts'

/** What a matrix is for; operators of the same kind may be fused when they run. */
export type MatrixKind =
  | 'query key value'
  | 'attention output'
  | 'router'
  | 'feed-forward'
  | 'experts'
  | 'shared experts'

/** A weight matrix of one layer, or several alike. */
export interface LayerMatrix {
  readonly kind: MatrixKind
  /** Elements of a row: width of what goes in. */
  readonly input: number
  readonly output: number
  readonly bias: boolean
  /** How many such matrices there are, and how many of them one token goes through. */
  readonly copies: number
  readonly used: number
}

/** Every matrix of one transformer layer, in the order in which a token meets them. */
export const layerMatrices = (shape: ModelShape, layer: number): readonly LayerMatrix[] => [
  ...attentionMatrices(shape),
  ...feedForwardMatrices(shape, layer),
]

const single = (kind: MatrixKind, input: number, output: number, bias: boolean): LayerMatrix => ({
  kind,
  input,
  output,
  bias,
  copies: 1,
  used: 1,
})

function attentionMatrices(shape: ModelShape): readonly LayerMatrix[] {
  const { hiddenSize, heads, kvHeads, headDim, ropeDim, latentAttention, attentionBiases } = shape
  const projected = attentionBiases === 'all' || attentionBiases === 'query key value'
  const outputBias = attentionBiases === 'all' || attentionBiases === 'output'
  const qkv = (input: number, output: number) => single('query key value', input, output, projected)
  if (latentAttention === null) {
    return [
      qkv(hiddenSize, heads * headDim),
      qkv(hiddenSize, kvHeads * headDim),
      qkv(hiddenSize, kvHeads * headDim),
      single('attention output', heads * headDim, hiddenSize, outputBias),
    ]
  }
  const { queryRank, kvRank, valueDim } = latentAttention
  const queries =
    queryRank === null
      ? [qkv(hiddenSize, heads * headDim)]
      : [qkv(hiddenSize, queryRank), qkv(queryRank, heads * headDim)]
  return [
    ...queries,
    qkv(hiddenSize, kvRank + ropeDim),
    qkv(kvRank, heads * (headDim - ropeDim + valueDim)),
    single('attention output', heads * valueDim, hiddenSize, outputBias),
  ]
}

function feedForwardMatrices(shape: ModelShape, layer: number): readonly LayerMatrix[] {
  const { hiddenSize, feedForwardSize, experts, gatedFeedForward, feedForwardBiases, routerBias } = shape
  const network = (kind: MatrixKind, width: number, copies: number, used: number): LayerMatrix[] => {
    const into = { kind, input: hiddenSize, output: width, bias: feedForwardBiases, copies, used }
    const down = { ...into, input: width, output: hiddenSize }
    return gatedFeedForward ? [into, into, down] : [into, down]
  }
  if (experts === null || !isExpertLayer(shape, layer)) {
    return network('feed-forward', feedForwardSize, 1, 1)
  }
  const shared = experts.sharedFeedForwardSize
  return [
    single('router', hiddenSize, experts.count, routerBias),
    ...network('experts', experts.feedForwardSize, experts.count, experts.used),
    ...(shared > 0 ? network('shared experts', shared, 1, 1) : []),
  ]
}
