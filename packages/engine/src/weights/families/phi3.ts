import { embeddingAndHead, hidden, kvWidth, longRopeFrequencies, queryWidth } from './common.ts'
import type { Family } from './family.ts'
import { everyLayerWindow } from './sliding-window.ts'

/** Phi 3, 3.5 and 4, the dense ones: fused projections, LongRoPE in those for long texts. */
export const phi3: Family = {
  architecture: 'phi3',
  title: 'Phi 3/3.5/4',
  classes: [{ name: 'Phi3ForCausalLM', modelType: 'phi3', slidingWindow: everyLayerWindow }],
  globals: [...embeddingAndHead, ...longRopeFrequencies],
  layer: [
    { gguf: 'attn_norm.weight', huggingFace: 'input_layernorm.weight', shape: hidden },
    {
      gguf: 'attn_qkv.weight',
      huggingFace: 'self_attn.qkv_proj.weight',
      shape: (config) => [config.hiddenSize, queryWidth(config) + 2 * kvWidth(config)],
    },
    {
      gguf: 'attn_output.weight',
      huggingFace: 'self_attn.o_proj.weight',
      shape: (config) => [queryWidth(config), config.hiddenSize],
    },
    { gguf: 'ffn_norm.weight', huggingFace: 'post_attention_layernorm.weight', shape: hidden },
    {
      gguf: 'ffn_up.weight',
      huggingFace: 'mlp.gate_up_proj.weight',
      shape: (config) => [config.hiddenSize, 2 * config.feedForwardSize],
    },
    {
      gguf: 'ffn_down.weight',
      huggingFace: 'mlp.down_proj.weight',
      shape: (config) => [config.feedForwardSize, config.hiddenSize],
    },
  ],
  ropeScalings: ['linear', 'longrope', 'yarn'],
  fullRope: false,
}
