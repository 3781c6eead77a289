import type { Architecture } from './architecture.ts'
import { preNormLayer } from './blocks.ts'
import { anyFeedForward } from './experts.ts'

/** Qwen 3 with experts in place of the feed-forward network. */
export const qwen3moe: Architecture = {
  name: 'qwen3moe',
  ropeLayout: 'halves',
  layer: (context, x) => preNormLayer(context, x, { normaliseHeads: true, feedForward: anyFeedForward }),
}
