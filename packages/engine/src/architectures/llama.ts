import type { Architecture } from './architecture.ts'
import { denseTensors, preNormLayer } from './blocks.ts'

/** Llama 2 and 3 (rope scaling included) and Mistral, whose sliding window comes from the model's config. */
export const llama: Architecture = {
  name: 'llama',
  ropeLayout: 'interleaved',
  tensors: denseTensors,
  layer: (context, x) => preNormLayer(context, x, { normaliseHeads: false }),
}
