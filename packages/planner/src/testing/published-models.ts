import { type ModelShape, shapeFromHuggingFace } from '../models/index.ts'

/** `config.json` of published models, without what says nothing about sizes, and their published parameter counts. */
interface PublishedModel {
  readonly config: Readonly<Record<string, unknown>>
  readonly parameters: number
  /** Of a mixture of experts, as its authors round it. */
  readonly activeBillions?: number
}

const llama = (hidden: number, ff: number, layers: number, heads: number, kv: number, vocab: number) => ({
  model_type: 'llama',
  hidden_size: hidden,
  intermediate_size: ff,
  num_hidden_layers: layers,
  num_attention_heads: heads,
  num_key_value_heads: kv,
  vocab_size: vocab,
  max_position_embeddings: 4096,
  tie_word_embeddings: false,
})

const llama3 = (...sizes: Parameters<typeof llama>) => ({ ...llama(...sizes), max_position_embeddings: 8192 })

const deepseek = {
  num_key_value_heads: 128,
  num_attention_heads: 128,
  q_lora_rank: 1536,
  kv_lora_rank: 512,
  qk_nope_head_dim: 128,
  qk_rope_head_dim: 64,
  v_head_dim: 128,
  moe_layer_freq: 1,
  max_position_embeddings: 163840,
  tie_word_embeddings: false,
}

export const publishedModels: Readonly<Record<string, PublishedModel>> = {
  'Llama-2-7B': { config: llama(4096, 11008, 32, 32, 32, 32000), parameters: 6_738_415_616 },
  'Llama-2-70B': { config: llama(8192, 28672, 80, 64, 8, 32000), parameters: 68_976_648_192 },
  'Llama-3-8B': { config: llama3(4096, 14336, 32, 32, 8, 128256), parameters: 8_030_261_248 },
  'Llama-3-70B': { config: llama3(8192, 28672, 80, 64, 8, 128256), parameters: 70_553_706_496 },
  'Mistral-7B': {
    config: { ...llama(4096, 14336, 32, 32, 8, 32000), model_type: 'mistral', sliding_window: 4096 },
    parameters: 7_241_732_096,
  },
  'Mixtral-8x7B': {
    config: {
      ...llama(4096, 14336, 32, 32, 8, 32000),
      model_type: 'mixtral',
      num_local_experts: 8,
      num_experts_per_tok: 2,
    },
    parameters: 46_702_792_704,
    activeBillions: 12.9,
  },
  'Qwen2-7B': {
    config: { ...llama(3584, 18944, 28, 28, 4, 152064), model_type: 'qwen2' },
    parameters: 7_615_616_512,
  },
  'Qwen3-8B': {
    config: { ...llama(4096, 12288, 36, 32, 8, 151936), model_type: 'qwen3', head_dim: 128 },
    parameters: 8_190_735_360,
  },
  'Qwen3-30B-A3B': {
    config: {
      ...llama(2048, 6144, 48, 32, 4, 151936),
      model_type: 'qwen3_moe',
      head_dim: 128,
      num_experts: 128,
      num_experts_per_tok: 8,
      moe_intermediate_size: 768,
      decoder_sparse_step: 1,
    },
    parameters: 30_532_122_624,
    activeBillions: 3.3,
  },
  'DeepSeek-V2': {
    config: {
      ...deepseek,
      model_type: 'deepseek_v2',
      hidden_size: 5120,
      intermediate_size: 12288,
      num_hidden_layers: 60,
      vocab_size: 102400,
      n_routed_experts: 160,
      n_shared_experts: 2,
      num_experts_per_tok: 6,
      moe_intermediate_size: 1536,
      first_k_dense_replace: 1,
    },
    parameters: 235_741_434_880,
    activeBillions: 21.4,
  },
  'DeepSeek-V3': {
    config: {
      ...deepseek,
      model_type: 'deepseek_v3',
      hidden_size: 7168,
      intermediate_size: 18432,
      num_hidden_layers: 61,
      vocab_size: 129280,
      n_routed_experts: 256,
      n_shared_experts: 1,
      num_experts_per_tok: 8,
      moe_intermediate_size: 2048,
      first_k_dense_replace: 3,
    },
    parameters: 671_026_419_200,
    activeBillions: 37.6,
  },
  'OPT-350M': {
    config: {
      model_type: 'opt',
      hidden_size: 1024,
      word_embed_proj_dim: 512,
      ffn_dim: 4096,
      num_hidden_layers: 24,
      num_attention_heads: 16,
      vocab_size: 50272,
      max_position_embeddings: 2048,
      do_layer_norm_before: false,
    },
    parameters: 331_196_416,
  },
  'GPT-2': {
    config: {
      model_type: 'gpt2',
      n_embd: 768,
      n_layer: 12,
      n_head: 12,
      vocab_size: 50257,
      n_positions: 1024,
    },
    parameters: 124_439_808,
  },
  'GPT-Neo-2.7B': {
    config: {
      model_type: 'gpt_neo',
      hidden_size: 2560,
      num_layers: 32,
      num_heads: 20,
      vocab_size: 50257,
      max_position_embeddings: 2048,
      intermediate_size: null,
    },
    parameters: 2_651_307_520,
  },
  'GPT-3 XL': {
    config: {
      model_type: 'gpt2',
      n_embd: 2048,
      n_layer: 24,
      n_head: 16,
      vocab_size: 50257,
      n_positions: 2048,
    },
    // 12·24·2048² + 13·24·2048 of the layers, 2·2048 of the last norm, (50257 + 2048)·2048 of the tables: "1.3B".
    parameters: 1_315_723_264,
  },
}

/** @param name - one of `publishedModels` */
export function publishedShape(name: string): ModelShape {
  const model = publishedModels[name]
  if (model === undefined)
    throw new RangeError(`${name} is none of ${Object.keys(publishedModels).join(', ')}.`)
  return shapeFromHuggingFace(model.config, name)
}
