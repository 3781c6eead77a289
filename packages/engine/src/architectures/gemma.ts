import type { Architecture } from './architecture.ts'
import { geluFeedForward, preNormLayer } from './blocks.ts'

/** Gemma, the first: Llama's layer with GELU. */
export const gemma: Architecture = {
  name: 'gemma',
  ropeLayout: 'halves',
  layer: (context, x) => preNormLayer(context, x, { normaliseHeads: false, feedForward: geluFeedForward }),
}
