import type { Architecture } from './architecture.ts'
import { doubleNormLayer, geluFeedForward } from './blocks.ts'

/** Gemma 3: as Gemma 2, with query and key heads normalised in place of capped scores, and five windows in six layers. */
export const gemma3: Architecture = {
  name: 'gemma3',
  ropeLayout: 'halves',
  layer: (context, x) => doubleNormLayer(context, x, { normaliseHeads: true, feedForward: geluFeedForward }),
}
