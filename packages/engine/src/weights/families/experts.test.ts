import { describe, expect, test } from 'vitest'
import { describeShape } from '../describe-model.ts'
import { parseGgufConfig } from '../gguf-config.ts'
import { parseHuggingFaceConfig } from '../huggingface-config.ts'

const parse = (config: Record<string, unknown>) =>
  parseHuggingFaceConfig('/models/some-model/config.json', config).config

/** mistralai/Mixtral-8x7B-v0.1 */
const mixtral = {
  architectures: ['MixtralForCausalLM'],
  attention_dropout: 0.0,
  bos_token_id: 1,
  eos_token_id: 2,
  hidden_act: 'silu',
  hidden_size: 4096,
  intermediate_size: 14336,
  max_position_embeddings: 32768,
  model_type: 'mixtral',
  num_attention_heads: 32,
  num_experts_per_tok: 2,
  num_hidden_layers: 32,
  num_key_value_heads: 8,
  num_local_experts: 8,
  output_router_logits: false,
  rms_norm_eps: 1e-5,
  rope_theta: 1000000.0,
  router_aux_loss_coef: 0.02,
  sliding_window: null,
  tie_word_embeddings: false,
  vocab_size: 32000,
}

/** Qwen/Qwen3-30B-A3B */
const qwen3moe = {
  architectures: ['Qwen3MoeForCausalLM'],
  attention_bias: false,
  bos_token_id: 151643,
  decoder_sparse_step: 1,
  eos_token_id: 151645,
  head_dim: 128,
  hidden_act: 'silu',
  hidden_size: 2048,
  intermediate_size: 6144,
  max_position_embeddings: 40960,
  max_window_layers: 48,
  mlp_only_layers: [],
  model_type: 'qwen3_moe',
  moe_intermediate_size: 768,
  norm_topk_prob: true,
  num_attention_heads: 32,
  num_experts: 128,
  num_experts_per_tok: 8,
  num_hidden_layers: 48,
  num_key_value_heads: 4,
  rms_norm_eps: 1e-6,
  rope_scaling: null,
  rope_theta: 1000000.0,
  sliding_window: null,
  tie_word_embeddings: false,
  use_sliding_window: false,
  vocab_size: 151936,
}

const alternating = (layers: number) =>
  Array.from({ length: layers }, (_, layer) => (layer % 2 === 0 ? 'sliding_attention' : 'full_attention'))

/** openai/gpt-oss-20b */
const gptOss = {
  architectures: ['GptOssForCausalLM'],
  attention_bias: true,
  eos_token_id: 200002,
  experts_per_token: 4,
  head_dim: 64,
  hidden_act: 'silu',
  hidden_size: 2880,
  initial_context_length: 4096,
  intermediate_size: 2880,
  layer_types: alternating(24),
  max_position_embeddings: 131072,
  model_type: 'gpt_oss',
  num_attention_heads: 64,
  num_experts_per_tok: 4,
  num_hidden_layers: 24,
  num_key_value_heads: 8,
  num_local_experts: 32,
  quantization_config: { modules_to_not_convert: ['model.layers.*.self_attn'], quant_method: 'mxfp4' },
  rms_norm_eps: 1e-5,
  rope_scaling: {
    beta_fast: 32.0,
    beta_slow: 1.0,
    factor: 32.0,
    original_max_position_embeddings: 4096,
    rope_type: 'yarn',
    truncate: false,
  },
  rope_theta: 150000,
  sliding_window: 128,
  swiglu_limit: 7.0,
  tie_word_embeddings: false,
  vocab_size: 201088,
}

/** meta-llama/Llama-4-Scout-17B-16E, the part for text */
const scoutText = {
  attention_bias: false,
  attention_chunk_size: 8192,
  attn_scale: 0.1,
  attn_temperature_tuning: true,
  bos_token_id: 200000,
  eos_token_id: [200001, 200007, 200008],
  floor_scale: 8192,
  head_dim: 128,
  hidden_act: 'silu',
  hidden_size: 5120,
  interleave_moe_layer_step: 1,
  intermediate_size: 8192,
  intermediate_size_mlp: 16384,
  max_position_embeddings: 10485760,
  model_type: 'llama4_text',
  no_rope_layers: Array.from({ length: 48 }, (_, layer) => ((layer + 1) % 4 === 0 ? 0 : 1)),
  num_attention_heads: 40,
  num_experts_per_tok: 1,
  num_hidden_layers: 48,
  num_key_value_heads: 8,
  num_local_experts: 16,
  rms_norm_eps: 1e-5,
  rope_scaling: {
    factor: 16.0,
    high_freq_factor: 1.0,
    low_freq_factor: 1.0,
    original_max_position_embeddings: 8192,
    rope_type: 'llama3',
  },
  rope_theta: 500000.0,
  use_qk_norm: true,
  vocab_size: 202048,
}
const scout = {
  architectures: ['Llama4ForConditionalGeneration'],
  model_type: 'llama4',
  text_config: scoutText,
  vision_config: { hidden_size: 1408 },
}

describe('shapes as they are published', () => {
  test('Mixtral 8x7B', () => {
    const config = parse(mixtral)
    expect(config).toMatchObject({
      architecture: 'llama',
      slidingWindow: null,
      experts: {
        ...{ count: 8, used: 2, feedForwardSize: 14336, sharedFeedForwardSize: 0 },
        ...{ scoring: 'softmax', normalised: true, layers: { first: 0, every: 1 } },
      },
    })
    const { parameters, flops, kvBytesPerToken } = describeShape(config)
    expect(parameters).toBe(46_702_792_704)
    // 12.9 billion parameters for a token; the embedding is looked up, not multiplied.
    const active = (flops.linearOfLayers.reduce((sum, each) => sum + each, 0) + flops.head) / 2
    expect(active / 1e9 + 32_000 * 4096e-9).toBeCloseTo(12.88, 2)
    expect(kvBytesPerToken.f16).toBe(2 * 32 * 2 * 8 * 128)
  })

  test('Qwen3-30B-A3B', () => {
    const config = parse(qwen3moe)
    expect(config).toMatchObject({
      architecture: 'qwen3moe',
      experts: { count: 128, used: 8, feedForwardSize: 768, scoring: 'softmax', normalised: true },
    })
    expect(describeShape(config).parameters).toBe(30_532_122_624)
  })

  test('gpt-oss-20b', () => {
    const config = parse(gptOss)
    expect(config).toMatchObject({
      architecture: 'gpt-oss',
      ropeScaling: { type: 'yarn', factor: 32, originalContext: 4096 },
      slidingWindow: { size: 128, kind: 'sliding', ropeTheta: null },
      experts: { count: 32, used: 4, feedForwardSize: 2880, scoring: 'softmax of chosen', normalised: false },
    })
    expect(config.slidingWindow?.layers).toEqual(alternating(24).map((type) => type === 'sliding_attention'))
    // Table 1 of the model card (arXiv:2508.10925) says 20.91 billion.
    expect(describeShape(config).parameters / 1e9).toBeCloseTo(20.91, 2)
  })

  test('Llama 4 Scout, the part for text', () => {
    const config = parse(scout)
    expect(config).toEqual(parse({ ...scoutText, architectures: ['Llama4ForCausalLM'] }))
    expect(config).toMatchObject({
      architecture: 'llama4',
      feedForwardSize: 16384,
      ropeScaling: { type: 'llama3', lowFreqFactor: 1, highFreqFactor: 1 },
      slidingWindow: { size: 8192, kind: 'chunked' },
      experts: {
        ...{ count: 16, used: 1, feedForwardSize: 8192, sharedFeedForwardSize: 8192, scoring: 'sigmoid' },
        layers: { first: 0, every: 1 },
      },
    })
    const { parameters, flops } = describeShape(config)
    expect(parameters / 1e9).toBeCloseTo(107.77, 2)
    // "17B": what a token is multiplied with, and the embedding.
    const active = (flops.linearOfLayers.reduce((sum, each) => sum + each, 0) + flops.head) / 2
    expect(active / 1e9 + 202_048 * 5120e-9).toBeCloseTo(17.17, 2)
  })
})

describe('refuses', () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    [
      'more experts for a token than there are',
      { ...mixtral, num_experts_per_tok: 9 },
      /num_experts_per_tok/,
    ],
    ['no count of experts', { ...mixtral, num_local_experts: undefined }, /num_local_experts/],
    ['too many experts', { ...mixtral, num_local_experts: 513 }, /"num_local_experts" is 513/],
    ['plain layers between', { ...qwen3moe, mlp_only_layers: [0] }, /layers without experts/],
    ['experts in every second layer', { ...qwen3moe, decoder_sparse_step: 2 }, /layers without experts/],
    ['weights that do not sum to 1', { ...qwen3moe, norm_topk_prob: false }, /norm_topk_prob/],
    ['another limit of the activation', { ...gptOss, swiglu_limit: 10 }, /swiglu_limit/],
    ['another quantisation', { ...gptOss, quantization_config: { quant_method: 'awq' } }, /"awq"/],
    ['a quantised Mixtral', { ...mixtral, quantization_config: { quant_method: 'mxfp4' } }, /"mxfp4"/],
    ['biases of a Mixtral', { ...mixtral, attention_bias: true }, /attention_bias/],
    [
      'rotation in other layers',
      { ...scout, text_config: { ...scoutText, no_rope_layers: Array.from({ length: 48 }, () => 1) } },
      /no_rope_layers/,
    ],
    [
      'no temperature',
      { ...scout, text_config: { ...scoutText, attn_temperature_tuning: false } },
      /attn_temperature/,
    ],
    [
      'another temperature',
      { ...scout, text_config: { ...scoutText, floor_scale: 4096 } },
      /floor_scale to 4096/,
    ],
    [
      'heads that are not normalised',
      { ...scout, text_config: { ...scoutText, use_qk_norm: false } },
      /use_qk_norm/,
    ],
    [
      'other layers of experts',
      { ...scout, text_config: { ...scoutText, moe_layers: [1, 2] } },
      /moe_layers/,
    ],
  ])('%s', (_, config, message) => {
    expect(() => parse(config)).toThrow(message)
  })
})

describe('GGUF', () => {
  const shape = {
    vocab_size: 320,
    context_length: 512,
    embedding_length: 64,
    block_count: 8,
    feed_forward_length: 128,
    'attention.head_count': 4,
    'attention.layer_norm_rms_epsilon': 1e-5,
  }
  const read = (architecture: string, own: Record<string, unknown>) => {
    const keys = Object.entries({ ...shape, ...own }).map(
      ([key, value]) => [`${architecture}.${key}`, value] as const,
    )
    const metadata = new Map<string, unknown>([['general.architecture', architecture], ...keys])
    return parseGgufConfig('some.gguf', metadata, new Map()).config
  }

  test('a Llama without experts, and a Mixtral', () => {
    expect(read('llama', {}).experts).toBeNull()
    expect(read('llama', { expert_count: 0 }).experts).toBeNull()
    expect(read('llama', { expert_count: 8, expert_used_count: 2 }).experts).toMatchObject({
      ...{ count: 8, used: 2, feedForwardSize: 128, normalised: true },
    })
  })

  test("llama.cpp's defaults where keys are missing", () => {
    const counts = { expert_count: 8, expert_used_count: 2 }
    expect(read('qwen3moe', counts).experts?.feedForwardSize).toBe(64)
    const oss = read('gpt-oss', {
      ...counts,
      ...{ expert_feed_forward_length: 64, 'attention.sliding_window': 128 },
    })
    expect(oss.slidingWindow?.layers).toEqual([true, false, true, false, true, false, true, false])
    const llama4 = read('llama4', { ...counts, expert_feed_forward_length: 64, interleave_moe_layer_step: 2 })
    expect(llama4.slidingWindow).toMatchObject({ size: 8192, kind: 'chunked' })
    expect(llama4.slidingWindow?.layers.map(Number).join('')).toBe('11101110')
    expect(llama4.experts?.layers).toEqual({ first: 1, every: 2 })
  })

  test('<|end|> ends a generation, unless it only ends one of several messages', () => {
    const tokens = (texts: readonly string[]) =>
      new Map<string, unknown>([
        ['general.architecture', 'llama'],
        ...Object.entries(shape).map(([key, value]) => [`llama.${key}`, value] as const),
        ['tokenizer.ggml.tokens', texts],
        ['tokenizer.ggml.token_type', texts.map(() => 3)],
      ])
    const ends = (texts: readonly string[]) =>
      parseGgufConfig('some.gguf', tokens(texts), new Map()).config.eosTokens
    expect(ends(['a', '<|end|>', '<|endoftext|>'])).toEqual([1, 2])
    expect(ends(['<|call|>', '<|end|>', '<|return|>'])).toEqual([0, 2])
  })

  test.each<[string, string, Record<string, unknown>, RegExp]>([
    ['experts in a family without', 'qwen3', { expert_count: 8 }, /mixture of experts/],
    ['a Qwen 3 MoE without experts', 'qwen3moe', {}, /expert_count/],
    ['no word on how many are used', 'llama', { expert_count: 8 }, /expert_used_count/],
    [
      'more used than there are',
      'llama',
      { expert_count: 8, expert_used_count: 9 },
      /expert_used_count" is 9/,
    ],
    [
      'a Llama 4 without chunks',
      'llama4',
      {
        ...{ expert_count: 8, expert_used_count: 1, expert_feed_forward_length: 64 },
        ...{ interleave_moe_layer_step: 1, 'attention.sliding_window': 0 },
      },
      /chunks/,
    ],
  ])('refuses %s', (_, architecture, own, message) => {
    expect(() => read(architecture, own)).toThrow(message)
  })
})
