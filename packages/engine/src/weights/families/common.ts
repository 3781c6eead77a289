import { isExpertLayer, type ModelConfig } from '@deos/domain'
import type { TensorRule } from './family.ts'

export const hidden = (config: ModelConfig) => [config.hiddenSize]
export const queryWidth = (config: ModelConfig): number => config.heads * config.headDim
export const kvWidth = (config: ModelConfig): number => config.kvHeads * config.headDim

/** Embedding and head, as every decoder-only family here has them. */
export const embeddingAndHead: readonly TensorRule[] = [
  {
    gguf: 'token_embd.weight',
    huggingFace: 'model.embed_tokens.weight',
    shape: (config) => [config.hiddenSize, config.vocabSize],
  },
  { gguf: 'output_norm.weight', huggingFace: 'model.norm.weight', shape: hidden },
  {
    gguf: 'output.weight',
    huggingFace: 'lm_head.weight',
    shape: (config) => [config.hiddenSize, config.vocabSize],
    absent: 'when tied',
  },
]

/** Per-dimension divisors of the rotary frequencies; GGUF only, made from `config.json` when converting. */
export const ropeFrequencies: TensorRule = {
  gguf: 'rope_freqs.weight',
  huggingFace: null,
  shape: (config) => [config.ropeDim / 2],
  absent: 'always allowed',
}

/** LongRoPE's divisors for long texts and for others; GGUF only as well. */
export const longRopeFrequencies: readonly TensorRule[] = [
  { ...ropeFrequencies, gguf: 'rope_factors_long.weight' },
  { ...ropeFrequencies, gguf: 'rope_factors_short.weight' },
]

/** RMS norms, attention and SwiGLU feed-forward. @param permuted - whether q and k rows are interleaved in GGUF */
export const transformerLayer = (permuted: boolean): readonly TensorRule[] => [
  ...attention(permuted),
  { gguf: 'ffn_norm.weight', huggingFace: 'post_attention_layernorm.weight', shape: hidden },
  ...feedForward('mlp'),
]

/** SwiGLU feed-forward, in layers that have no experts. @param module - its name in Hugging Face files */
export function feedForward(module: string): readonly TensorRule[] {
  const inLayer = (config: ModelConfig, layer: number) => !isExpertLayer(config, layer)
  return [
    {
      gguf: 'ffn_gate.weight',
      huggingFace: `${module}.gate_proj.weight`,
      shape: (config) => [config.hiddenSize, config.feedForwardSize],
      inLayer,
    },
    {
      gguf: 'ffn_up.weight',
      huggingFace: `${module}.up_proj.weight`,
      shape: (config) => [config.hiddenSize, config.feedForwardSize],
      inLayer,
    },
    {
      gguf: 'ffn_down.weight',
      huggingFace: `${module}.down_proj.weight`,
      shape: (config) => [config.feedForwardSize, config.hiddenSize],
      inLayer,
    },
  ]
}

/** Attention and the norm before it. @param permuted - whether q and k rows are interleaved in GGUF */
export function attention(permuted: boolean): readonly TensorRule[] {
  return [
    { gguf: 'attn_norm.weight', huggingFace: 'input_layernorm.weight', shape: hidden },
    {
      gguf: 'attn_q.weight',
      huggingFace: 'self_attn.q_proj.weight',
      shape: (config) => [config.hiddenSize, queryWidth(config)],
      ...(permuted ? { permute: 'heads' as const } : {}),
    },
    {
      gguf: 'attn_k.weight',
      huggingFace: 'self_attn.k_proj.weight',
      shape: (config) => [config.hiddenSize, kvWidth(config)],
      ...(permuted ? { permute: 'kvHeads' as const } : {}),
    },
    {
      gguf: 'attn_v.weight',
      huggingFace: 'self_attn.v_proj.weight',
      shape: (config) => [config.hiddenSize, kvWidth(config)],
    },
    {
      gguf: 'attn_output.weight',
      huggingFace: 'self_attn.o_proj.weight',
      shape: (config) => [queryWidth(config), config.hiddenSize],
    },
  ]
}
