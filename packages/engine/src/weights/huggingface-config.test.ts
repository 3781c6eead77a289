import { plainTraits, windowEverywhere } from '@deos/domain'
import { describe, expect, test } from 'vitest'
import { parseHuggingFaceConfig } from './huggingface-config.ts'

const parse = (config: Record<string, unknown>, generation?: Record<string, unknown>) =>
  parseHuggingFaceConfig('/models/some-model/config.json', config, generation).config

const llama31 = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 128000,
  eos_token_id: [128001, 128008, 128009],
  hidden_act: 'silu',
  hidden_size: 4096,
  initializer_range: 0.02,
  intermediate_size: 14336,
  max_position_embeddings: 131072,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 8,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: {
    factor: 8.0,
    low_freq_factor: 1.0,
    high_freq_factor: 4.0,
    original_max_position_embeddings: 8192,
    rope_type: 'llama3',
  },
  rope_theta: 500000.0,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  vocab_size: 128256,
}

const qwen25 = {
  architectures: ['Qwen2ForCausalLM'],
  attention_dropout: 0.0,
  bos_token_id: 151643,
  eos_token_id: 151645,
  hidden_act: 'silu',
  hidden_size: 896,
  intermediate_size: 4864,
  max_position_embeddings: 32768,
  max_window_layers: 21,
  model_type: 'qwen2',
  num_attention_heads: 14,
  num_hidden_layers: 24,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-6,
  rope_theta: 1000000.0,
  sliding_window: 32768,
  tie_word_embeddings: true,
  use_sliding_window: false,
  vocab_size: 151936,
}

describe('shapes as they are published', () => {
  test('Llama-3.1-8B-Instruct', () => {
    expect(parse(llama31)).toEqual({
      architecture: 'llama',
      name: 'some-model',
      layers: 32,
      hiddenSize: 4096,
      feedForwardSize: 14336,
      heads: 32,
      kvHeads: 8,
      headDim: 128,
      vocabSize: 128256,
      contextLength: 131072,
      normEpsilon: 1e-5,
      ropeTheta: 500000,
      ropeDim: 128,
      ropeScaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContext: 8192 },
      ...plainTraits(128),
      tiedEmbeddings: false,
      bosToken: 128000,
      eosTokens: [128001, 128008, 128009],
    })
  })

  test('Mistral-7B-v0.1', () => {
    const config = parse({
      architectures: ['MistralForCausalLM'],
      bos_token_id: 1,
      eos_token_id: 2,
      hidden_act: 'silu',
      hidden_size: 4096,
      intermediate_size: 14336,
      max_position_embeddings: 32768,
      model_type: 'mistral',
      num_attention_heads: 32,
      num_hidden_layers: 32,
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      rope_theta: 10000.0,
      sliding_window: 4096,
      tie_word_embeddings: false,
      vocab_size: 32000,
    })
    expect(config).toMatchObject({
      architecture: 'llama',
      slidingWindow: windowEverywhere(4096, 32),
      headDim: 128,
      ropeScaling: { type: 'none' },
      eosTokens: [2],
    })
  })

  test('Mistral since v0.2 has no window', () => {
    const config = {
      ...llama31,
      architectures: ['MistralForCausalLM'],
      rope_scaling: null,
      sliding_window: null,
    }
    expect(parse(config).slidingWindow).toBeNull()
  })

  test('Qwen2.5-0.5B: a window that is not used', () => {
    expect(parse(qwen25)).toMatchObject({
      architecture: 'qwen2',
      headDim: 64,
      kvHeads: 2,
      tiedEmbeddings: true,
      slidingWindow: null,
      ropeTheta: 1e6,
    })
  })

  test('Qwen2.5 with YaRN for long texts', () => {
    const rope_scaling = { factor: 4.0, original_max_position_embeddings: 32768, type: 'yarn' }
    expect(parse({ ...qwen25, rope_scaling }).ropeScaling).toEqual({
      type: 'yarn',
      factor: 4,
      originalContext: 32768,
      // 0.1 ln 4 + 1
      attentionFactor: expect.closeTo(1.13863, 5),
      betaFast: 32,
      betaSlow: 1,
    })
  })

  test('Qwen3-0.6B: heads wider than hidden size over heads', () => {
    const config = parse({
      architectures: ['Qwen3ForCausalLM'],
      attention_bias: false,
      bos_token_id: 151643,
      eos_token_id: 151645,
      head_dim: 128,
      hidden_act: 'silu',
      hidden_size: 1024,
      intermediate_size: 3072,
      max_position_embeddings: 40960,
      max_window_layers: 28,
      model_type: 'qwen3',
      num_attention_heads: 16,
      num_hidden_layers: 28,
      num_key_value_heads: 8,
      rms_norm_eps: 1e-6,
      rope_scaling: null,
      rope_theta: 1000000,
      sliding_window: null,
      tie_word_embeddings: true,
      use_sliding_window: false,
      vocab_size: 151936,
    })
    expect(config).toMatchObject({ architecture: 'qwen3', heads: 16, kvHeads: 8, headDim: 128, ropeDim: 128 })
  })

  test('Llama-2-7B leaves out rope_theta and KV heads', () => {
    const { rope_theta: _theta, num_key_value_heads: _heads, ...old } = { ...llama31, rope_scaling: null }
    expect(parse(old)).toMatchObject({ ropeTheta: 10_000, kvHeads: 32 })
  })

  test('rope_parameters of newer releases', () => {
    const { rope_theta: _theta, rope_scaling, ...newer } = llama31
    const config = parse({ ...newer, rope_parameters: { ...rope_scaling, rope_theta: 500000.0 } })
    expect(config).toEqual(parse(llama31))
  })
})

test('dynamic NTK scaling: the file tells the positions of the training, of which there are `factor` times more', () => {
  const config = parse({
    ...llama31,
    ...{ max_position_embeddings: 4096, rope_scaling: { type: 'dynamic', factor: 2.0 } },
  })
  expect(config.ropeScaling).toEqual({ type: 'dynamic', factor: 2, originalContext: 4096 })
  expect(config.contextLength).toBe(8192)
  const rope_scaling = { rope_type: 'dynamic', factor: 4.0, original_max_position_embeddings: 2048 }
  expect(parse({ ...llama31, max_position_embeddings: 8192, rope_scaling }).contextLength).toBe(8192)
})

test('generation_config.json adds tokens that end a generation', () => {
  expect(parse(qwen25, { eos_token_id: [151645, 151643] }).eosTokens).toEqual([151645, 151643])
})

test('layer_types decides over use_sliding_window', () => {
  const layer_types = Array.from({ length: 24 }, () => 'sliding_attention')
  expect(parse({ ...qwen25, layer_types }).slidingWindow).toEqual(windowEverywhere(32768, 24))
})

test('a window for the last layers only', () => {
  const { slidingWindow } = parse({ ...qwen25, use_sliding_window: true })
  expect(slidingWindow?.layers.map((has) => (has ? 1 : 0)).join('')).toBe(`${'0'.repeat(21)}111`)
})

describe('refuses', () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['a missing field', { hidden_size: undefined }, /"hidden_size" is missing; it must be a number from 1/],
    ['a text for a number', { hidden_size: '4096' }, /"hidden_size" is "4096"/],
    ['a fraction', { num_hidden_layers: 1.5 }, /"num_hidden_layers" is 1.5; it must be a whole number/],
    [
      'too many layers',
      { num_hidden_layers: 513 },
      /"num_hidden_layers" is 513; it must be a number from 1 to 512/,
    ],
    ['not a number', { rms_norm_eps: Number.NaN }, /"rms_norm_eps" is null/],
    [
      'heads that do not divide',
      { num_attention_heads: 30 },
      /hidden size of 4096, not a multiple of its 30/,
    ],
    [
      'KV heads that do not divide',
      { num_key_value_heads: 5 },
      /32 attention heads, not a multiple of its 5 KV/,
    ],
    ['an odd head width', { head_dim: 127 }, /rotates 127 of 127 dimensions/],
    [
      'a token outside the vocabulary',
      { bos_token_id: 128256 },
      /"bos_token_id" is 128256; it must be token ids/,
    ],
    ['a token that is a text', { eos_token_id: ['</s>'] }, /"eos_token_id" is/],
    ['another activation', { hidden_act: 'gelu' }, /uses the activation "gelu"/],
    ['biases it has no code for', { attention_bias: true }, /sets attention_bias/],
    ['quantised weights', { quantization_config: { quant_method: 'awq' } }, /quantised by "awq"/],
    ['partial rotation', { partial_rotary_factor: 0.5 }, /rotates only part/],
    [
      'unknown scaling',
      { rope_scaling: { rope_type: 'proportional', factor: 4 } },
      /scales positions by "proportional"/,
    ],
    ['scaling without factor', { rope_scaling: { type: 'linear' } }, /"rope_scaling.factor" is missing/],
    ['scaling that is a list', { rope_scaling: [8] }, /"rope_scaling" is \[8\]; it must be an object/],
    [
      'frequencies the wrong way round',
      { rope_scaling: { ...llama31.rope_scaling, high_freq_factor: 0.5 } },
      /high_freq_factor" is 0.5; it must be at least/,
    ],
  ])('%s', (_, change, message) => {
    expect(() => parse({ ...llama31, ...change })).toThrow(message)
    expect(() => parse({ ...llama31, ...change })).toThrow('/models/some-model/config.json')
  })

  test('an unknown architecture, listing those it knows', () => {
    const attempt = () => parse({ ...llama31, architectures: ['MambaForCausalLM'] })
    expect(attempt).toThrow(/has the architecture "MambaForCausalLM"/)
    try {
      attempt()
    } catch (error) {
      expect((error as { hint: string }).hint).toMatch(/llama \(.*qwen2 \(.*qwen3 \(/)
    }
  })

  test('Llama 3 scaling where llama.cpp has no factors to read', () => {
    expect(() => parse({ ...qwen25, rope_scaling: llama31.rope_scaling })).toThrow(
      /"llama3", which Qwen2ForCausalLM/,
    )
  })

  test('kinds of layers that are not as many as layers', () => {
    expect(() => parse({ ...qwen25, layer_types: ['full_attention'] })).toThrow(/"layer_types"/)
  })
})
