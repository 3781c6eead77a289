import type { Architecture } from './architecture.ts'
import { fusedFeedForward, preNormLayer } from './blocks.ts'

/** Phi 3, 3.5 and 4: q, k and v are one matrix, and gate and up another; heads may be rotated in part. */
export const phi3: Architecture = {
  name: 'phi3',
  ropeLayout: 'halves',
  layer: (context, x) => preNormLayer(context, x, { normaliseHeads: false, feedForward: fusedFeedForward }),
}
