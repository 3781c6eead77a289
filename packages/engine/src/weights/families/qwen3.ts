import { embeddingAndHead, transformerLayer } from './common.ts'
import type { Family, TensorRule } from './family.ts'
import { optionalWindow } from './sliding-window.ts'

/** Norms of each query and key head. */
export const headNorms: readonly TensorRule[] = [
  {
    gguf: 'attn_q_norm.weight',
    huggingFace: 'self_attn.q_norm.weight',
    shape: (config) => [config.headDim],
  },
  {
    gguf: 'attn_k_norm.weight',
    huggingFace: 'self_attn.k_norm.weight',
    shape: (config) => [config.headDim],
  },
]

/** Qwen 3: q and k of each head are normalised before they are rotated; no biases. */
export const qwen3: Family = {
  architecture: 'qwen3',
  title: 'Qwen 3',
  classes: [{ name: 'Qwen3ForCausalLM', modelType: 'qwen3', slidingWindow: optionalWindow }],
  globals: embeddingAndHead,
  layer: [...transformerLayer(false), ...headNorms],
  ropeScalings: ['linear', 'yarn'],
  fullRope: true,
}
