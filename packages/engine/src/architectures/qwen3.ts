import type { Architecture } from './architecture.ts'
import { preNormLayer } from './blocks.ts'

/** Qwen 3 (dense): every query and key head is normalised before rotation. */
export const qwen3: Architecture = {
  name: 'qwen3',
  ropeLayout: 'halves',
  layer: (context, x) => preNormLayer(context, x, { normaliseHeads: true }),
}
