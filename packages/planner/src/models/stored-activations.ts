import { type LayerMatrix, layerMatrices } from './matrices.ts'
import type { ModelShape } from './model-shape.ts'

/**
 * How much of a layer's forward pass is kept for its backward pass: everything but attention scores, which FlashAttention
 * computes anew in any case; or only what entered the layer, and a whole forward pass is computed anew.
 */
export type Rematerialisation = 'none' | 'full'

/**
 * Elements that one layer keeps for each token between its forward and its backward pass: inputs of norms and matrices,
 * outputs of Q, K and V, and of the feed-forward network's two halves. 16 times the hidden size for a GPT layer, which is
 * the 34·s·b·h bytes of Korthikanti et al. 2022 (arXiv:2205.05198, section 4) less two bytes of dropout masks.
 */
export function storedElementsPerToken(
  shape: ModelShape,
  layer: number,
  rematerialise: Rematerialisation,
): number {
  const { hiddenSize, normsPerLayer } = shape
  if (rematerialise === 'full') return hiddenSize
  const matrices = layerMatrices(shape, layer)
  const networks = new Set(matrices.filter(isNetwork).map(({ kind }) => kind))
  const inputs = hiddenSize * (normsPerLayer + 1 + networks.size)
  return matrices.reduce((elements, matrix) => elements + keptOf(matrix, hiddenSize), inputs)
}

const isNetwork = ({ kind }: LayerMatrix): boolean =>
  kind === 'feed-forward' || kind === 'experts' || kind === 'shared experts'

function keptOf(matrix: LayerMatrix, hiddenSize: number): number {
  if (matrix.kind === 'attention output') return matrix.input
  const down = isNetwork(matrix) && matrix.output === hiddenSize
  return (down ? matrix.input : matrix.output) * matrix.used
}
