import type { Architecture } from './architecture.ts'
import { preNormLayer } from './blocks.ts'
import { anyFeedForward } from './experts.ts'

/**
 * Llama 2 and 3 (rope scaling included); Mistral, whose sliding window comes from the model's config, and Mixtral, which
 * is a Mistral with experts.
 */
export const llama: Architecture = {
  name: 'llama',
  ropeLayout: 'interleaved',
  layer: (context, x) => preNormLayer(context, x, { normaliseHeads: false, feedForward: anyFeedForward }),
}
