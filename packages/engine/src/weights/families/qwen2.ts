import { embeddingAndHead, kvWidth, queryWidth, transformerLayer } from './common.ts'
import type { Family } from './family.ts'
import { optionalWindow } from './sliding-window.ts'

/** Qwen 2 and 2.5: biases on q, k and v; rotary pairs stay in rotate-half order. */
export const qwen2: Family = {
  architecture: 'qwen2',
  title: 'Qwen 2/2.5',
  classes: [{ name: 'Qwen2ForCausalLM', modelType: 'qwen2', slidingWindow: optionalWindow }],
  globals: embeddingAndHead,
  layer: [
    ...transformerLayer(false),
    { gguf: 'attn_q.bias', huggingFace: 'self_attn.q_proj.bias', shape: (config) => [queryWidth(config)] },
    { gguf: 'attn_k.bias', huggingFace: 'self_attn.k_proj.bias', shape: (config) => [kvWidth(config)] },
    { gguf: 'attn_v.bias', huggingFace: 'self_attn.v_proj.bias', shape: (config) => [kvWidth(config)] },
  ],
  ropeScalings: ['linear', 'yarn'],
  fullRope: true,
}
