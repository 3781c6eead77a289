import { type LayerGraph, layerGraph, type ModelShape, type Operator } from '../models/index.ts'
import type { LinkRate } from './fleet.ts'

/**
 * One accelerator's part of a layer whose matrices and heads are divided among `degree` of them, as Megatron-LM does.
 * Norms are computed by all; K and V are divided by whole heads, and latent ones not at all.
 *
 * @see Shoeybi et al. 2019 (arXiv:1909.08053), section 3
 */
export function partOfLayer(graph: LayerGraph, shape: ModelShape, degree: number): LayerGraph {
  if (degree === 1) return graph
  const kvParts = kvPartsOf(shape, degree)
  const operators = graph.operators.map((operator): Operator => {
    if (operator.kind === 'norms' || operator.kind === 'embedding') return operator
    const flops = operator.flops / degree
    const weightBytes = operator.weightBytes / degree
    const activationBytes = operator.activationBytes / degree
    const kvBytes = operator.kvBytes / kvParts
    const intensity = flops / (weightBytes + activationBytes + kvBytes)
    return { ...operator, flops, weightBytes, activationBytes, kvBytes, intensity }
  })
  return layerGraph(graph.layer, operators)
}

/** Into how many parts K and V come apart. */
export const kvPartsOf = ({ latentAttention, kvHeads }: ModelShape, degree: number): number =>
  latentAttention === null ? Math.min(degree, kvHeads) : 1

/** Degrees into which heads and feed-forward network divide. */
export const tensorDegrees = ({ heads, feedForwardSize }: ModelShape, most: number): readonly number[] =>
  [1, 2, 4, 8, 16].filter(
    (degree) => degree <= most && heads % degree === 0 && feedForwardSize % degree === 0,
  )

/** The quicker of two ways to sum over a group: round a ring in parts, or everyone to everyone at once. */
export function allReduceMs(members: number, sizeBytes: number, { delayMs, bytesPerS }: LinkRate): number {
  if (members === 1) return 0
  const wholeMs = (sizeBytes / bytesPerS) * 1000
  const ring = 2 * (members - 1) * (delayMs + wholeMs / members)
  const direct = delayMs + (members - 1) * wholeMs
  return Math.min(ring, direct)
}
