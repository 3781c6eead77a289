import type { Architecture } from './architecture.ts'
import { denseTensors, preNormLayer } from './blocks.ts'

/** Qwen 3 (dense): every query and key head is normalised before rotation. */
export const qwen3: Architecture = {
  name: 'qwen3',
  ropeLayout: 'halves',
  tensors: [...denseTensors, 'attn_q_norm.weight', 'attn_k_norm.weight'],
  layer: (context, x) => preNormLayer(context, x, { normaliseHeads: true }),
}
