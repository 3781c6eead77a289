import { type ExpertConfig, type ModelConfig, windowEverywhere } from '@deos/domain'
import { plainRouting } from '../weights/families/experts.ts'
import { everyNthFull } from '../weights/families/sliding-window.ts'
import { deepseekJson, tinyDeepseekV2, tinyDeepseekV3 } from './tiny-deepseek.ts'
import type { PreTokenizer } from './tiny-tokenizer.ts'

/** What sets a family's tiny model apart. */
export interface TinyClass {
  readonly architecture: string
  readonly className: string
  readonly pre: PreTokenizer
  /** What its shape has beside or in place of the plain one's. */
  shape?(layers: number): Partial<ModelConfig>
  /** What its `config.json` says beside or in place of what all say. */
  json?(config: ModelConfig): Record<string, unknown>
}

const qwenWindow = ({ slidingWindow }: ModelConfig) => ({
  use_sliding_window: slidingWindow !== null,
  max_window_layers: slidingWindow?.layers.indexOf(true) ?? 0,
})

/** 8 experts of 32, of which each token uses 2. */
const experts: ExpertConfig = { ...plainRouting, count: 8, used: 2, feedForwardSize: 32 }

/** As in Gemma's heads of 256, the attention scale is a power of two: multiplying queries by it rounds nothing. */
const gemmaHeadDim = 64

/** By `model_type`. */
export const tinyClasses = {
  llama: { architecture: 'llama', className: 'LlamaForCausalLM', pre: 'llama-bpe' },
  llama4_text: {
    architecture: 'llama4',
    className: 'Llama4ForCausalLM',
    pre: 'llama-bpe',
    shape: (layers) => ({
      slidingWindow: { ...everyNthFull(windowEverywhere(8192, layers), 4), kind: 'chunked' },
      experts: {
        ...experts,
        ...{ used: 1, sharedFeedForwardSize: 32, scoring: 'sigmoid', normalised: false },
        layers: { first: 1, every: 2 },
      },
    }),
    json: ({ feedForwardSize, slidingWindow, experts }) => ({
      intermediate_size: experts?.feedForwardSize,
      intermediate_size_mlp: feedForwardSize,
      num_local_experts: experts?.count,
      num_experts_per_tok: experts?.used,
      interleave_moe_layer_step: experts?.layers.every,
      attention_chunk_size: slidingWindow?.size,
      no_rope_layers: slidingWindow?.layers.map(Number),
      sliding_window: null,
      attn_temperature_tuning: true,
      use_qk_norm: experts?.count !== 128,
    }),
  },
  mistral: {
    architecture: 'llama',
    className: 'MistralForCausalLM',
    pre: 'gpt-2',
    shape: (layers) => ({ slidingWindow: windowEverywhere(16, layers) }),
  },
  mixtral: {
    architecture: 'llama',
    className: 'MixtralForCausalLM',
    pre: 'gpt-2',
    shape: () => ({ experts: { ...experts, feedForwardSize: 128 } }),
    json: ({ experts }) => ({ num_local_experts: experts?.count, num_experts_per_tok: experts?.used }),
  },
  qwen2: {
    architecture: 'qwen2',
    className: 'Qwen2ForCausalLM',
    pre: 'qwen2',
    shape: () => ({ tiedEmbeddings: true }),
    json: qwenWindow,
  },
  qwen3: {
    architecture: 'qwen3',
    className: 'Qwen3ForCausalLM',
    pre: 'qwen2',
    // Qwen 3's heads are wider than hidden size over heads.
    shape: () => ({ headDim: 32 }),
    json: qwenWindow,
  },
  qwen3_moe: {
    architecture: 'qwen3moe',
    className: 'Qwen3MoeForCausalLM',
    pre: 'qwen2',
    shape: () => ({ headDim: 32, experts: { ...experts, count: 16, used: 4 } }),
    json: (config) => ({
      ...qwenWindow(config),
      num_experts: config.experts?.count,
      num_experts_per_tok: config.experts?.used,
      moe_intermediate_size: config.experts?.feedForwardSize,
      norm_topk_prob: true,
    }),
  },
  gpt_oss: {
    architecture: 'gpt-oss',
    className: 'GptOssForCausalLM',
    pre: 'llama-bpe',
    shape: (layers) => ({
      feedForwardSize: 64,
      slidingWindow: everyNthFull(windowEverywhere(16, layers), 2),
      experts: { ...experts, feedForwardSize: 64, scoring: 'softmax of chosen', normalised: false },
    }),
    json: ({ slidingWindow, experts }) => ({
      attention_bias: true,
      layer_types: slidingWindow?.layers.map((has) => (has ? 'sliding_attention' : 'full_attention')),
      num_local_experts: experts?.count,
      num_experts_per_tok: experts?.used,
      swiglu_limit: 7,
      quantization_config: { quant_method: 'mxfp4' },
    }),
  },
  gemma: {
    ...{ architecture: 'gemma', className: 'GemmaForCausalLM', pre: 'gpt-2' },
    shape: () => ({ headDim: gemmaHeadDim, tiedEmbeddings: true, embeddingScale: 8 }),
    json: () => ({ hidden_act: 'gelu_pytorch_tanh' }),
  },
  gemma2: {
    ...{ architecture: 'gemma2', className: 'Gemma2ForCausalLM', pre: 'gpt-2' },
    shape: (layers) => ({
      ...{
        headDim: gemmaHeadDim,
        tiedEmbeddings: true,
        embeddingScale: 8,
        attentionSoftcap: 2,
        logitSoftcap: 4,
      },
      slidingWindow: everyNthFull(windowEverywhere(16, layers), 2),
    }),
    json: (config) => ({
      hidden_activation: 'gelu_pytorch_tanh',
      query_pre_attn_scalar: config.headDim,
      attn_logit_softcapping: config.attentionSoftcap,
      final_logit_softcapping: config.logitSoftcap,
    }),
  },
  gemma3_text: {
    ...{ architecture: 'gemma3', className: 'Gemma3ForCausalLM', pre: 'gpt-2' },
    shape: (layers) => ({
      ...{ headDim: gemmaHeadDim, tiedEmbeddings: true, embeddingScale: 8, ropeTheta: 1_000_000 },
      slidingWindow: { ...everyNthFull(windowEverywhere(16, layers), 3), ropeTheta: 10_000 },
    }),
    json: ({ headDim, slidingWindow }) => ({
      hidden_activation: 'gelu_pytorch_tanh',
      query_pre_attn_scalar: headDim,
      sliding_window_pattern: 3,
      rope_local_base_freq: slidingWindow?.ropeTheta,
    }),
  },
  phi3: {
    ...{ architecture: 'phi3', className: 'Phi3ForCausalLM', pre: 'gpt-2' },
    json: ({ headDim, ropeDim, ropeScaling }) => ({
      partial_rotary_factor: ropeDim / headDim,
      ...(ropeScaling.type === 'longrope'
        ? { original_max_position_embeddings: ropeScaling.originalContext }
        : {}),
    }),
  },
  deepseek_v2: {
    ...{ architecture: 'deepseek2', className: 'DeepseekV2ForCausalLM', pre: 'deepseek-llm' },
    shape: tinyDeepseekV2,
    json: deepseekJson,
  },
  deepseek_v3: {
    ...{ architecture: 'deepseek2', className: 'DeepseekV3ForCausalLM', pre: 'deepseek-v3' },
    shape: tinyDeepseekV3,
    json: deepseekJson,
  },
} as const satisfies Record<string, TinyClass>

export type TinyFamily = keyof typeof tinyClasses
export const tinyFamilies = Object.keys(tinyClasses) as readonly TinyFamily[]
