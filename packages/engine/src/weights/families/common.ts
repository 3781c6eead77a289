import type { ModelConfig } from '@deos/domain'
import type { TensorRule } from './family.ts'

const hidden = (config: ModelConfig) => [config.hiddenSize]
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

/** RMS norms, attention and SwiGLU feed-forward. @param permuted - whether q and k rows are interleaved in GGUF */
export function transformerLayer(permuted: boolean): readonly TensorRule[] {
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
    { gguf: 'ffn_norm.weight', huggingFace: 'post_attention_layernorm.weight', shape: hidden },
    {
      gguf: 'ffn_gate.weight',
      huggingFace: 'mlp.gate_proj.weight',
      shape: (config) => [config.hiddenSize, config.feedForwardSize],
    },
    {
      gguf: 'ffn_up.weight',
      huggingFace: 'mlp.up_proj.weight',
      shape: (config) => [config.hiddenSize, config.feedForwardSize],
    },
    {
      gguf: 'ffn_down.weight',
      huggingFace: 'mlp.down_proj.weight',
      shape: (config) => [config.feedForwardSize, config.hiddenSize],
    },
  ]
}
