import type { Architecture } from './architecture.ts'
import { preNormLayer } from './blocks.ts'

/** Qwen 2 and 2.5: biases on the query, key and value projections. */
export const qwen2: Architecture = {
  name: 'qwen2',
  ropeLayout: 'halves',
  layer: (context, x) => preNormLayer(context, x, { normaliseHeads: false }),
}
