import type { Architecture } from './architecture.ts'
import { doubleNormLayer, geluFeedForward } from './blocks.ts'

/** Gemma 2: norms before and after attention and feed-forward; every other layer has a window, scores are capped. */
export const gemma2: Architecture = {
  name: 'gemma2',
  ropeLayout: 'halves',
  layer: (context, x) => doubleNormLayer(context, x, { normaliseHeads: false, feedForward: geluFeedForward }),
}
