import { describe, expect, test } from 'vitest'
import { describeShape } from '../describe-model.ts'
import { parseGgufConfig } from '../gguf-config.ts'
import { parseHuggingFaceConfig } from '../huggingface-config.ts'

const parse = (config: Record<string, unknown>) =>
  parseHuggingFaceConfig('/models/some-gemma/config.json', config).config

const gemma2b9 = {
  architectures: ['Gemma2ForCausalLM'],
  ...{ attn_logit_softcapping: 50.0, final_logit_softcapping: 30.0, bos_token_id: 2, eos_token_id: 1 },
  ...{ head_dim: 256, hidden_act: 'gelu_pytorch_tanh', hidden_activation: 'gelu_pytorch_tanh' },
  ...{ hidden_size: 3584, intermediate_size: 14336, max_position_embeddings: 8192, model_type: 'gemma2' },
  ...{ num_attention_heads: 16, num_hidden_layers: 42, num_key_value_heads: 8, rms_norm_eps: 1e-6 },
  ...{ query_pre_attn_scalar: 256, rope_theta: 10000.0, sliding_window: 4096, vocab_size: 256000 },
}
const gemma3b4 = {
  architectures: ['Gemma3ForConditionalGeneration'],
  ...{ eos_token_id: [1, 106], image_token_index: 262144, model_type: 'gemma3', vision_config: {} },
  text_config: {
    ...{ hidden_size: 2560, intermediate_size: 10240, model_type: 'gemma3_text', num_hidden_layers: 34 },
    ...{ rope_scaling: { factor: 8.0, rope_type: 'linear' }, sliding_window: 1024 },
  },
}

describe('shapes as they are published', () => {
  test('gemma-2-9b: 9,241,705,984 parameters, a window in every other layer, capped scores', () => {
    const config = parse(gemma2b9)
    expect(config).toMatchObject({
      ...{ architecture: 'gemma2', heads: 16, kvHeads: 8, headDim: 256, tiedEmbeddings: true },
      ...{ attentionScale: 1 / 16, attentionSoftcap: 50, logitSoftcap: 30, embeddingScale: Math.sqrt(3584) },
    })
    expect(config.slidingWindow).toMatchObject({ size: 4096, kind: 'sliding', ropeTheta: null })
    expect(config.slidingWindow?.layers.slice(0, 4)).toEqual([true, false, true, false])
    expect(describeShape(config).parameters).toBe(9_241_705_984)
  })

  test('gemma-2-27b divides scores by the root of 144, not of its heads of 128', () => {
    const { attentionScale } = parse({ ...gemma2b9, head_dim: 128, query_pre_attn_scalar: 144 })
    expect(attentionScale).toBeCloseTo(1 / 12, 12)
  })

  test('gemma-3-4b: the model of text, most of which its file leaves to defaults', () => {
    const config = parse(gemma3b4)
    expect(config).toMatchObject({
      ...{ architecture: 'gemma3', layers: 34, heads: 8, kvHeads: 4, headDim: 256, vocabSize: 262_208 },
      ...{ contextLength: 131_072, ropeTheta: 1_000_000, ropeScaling: { type: 'linear', factor: 8 } },
      ...{ attentionScale: 1 / 16, attentionSoftcap: 0, bosToken: 2, eosTokens: [1, 106] },
    })
    expect(config.slidingWindow).toMatchObject({ size: 1024, ropeTheta: 10_000 })
    expect(config.slidingWindow?.layers.slice(0, 7)).toEqual([true, true, true, true, true, false, true])
  })

  test('rope_parameters of newer releases', () => {
    const { rope_scaling: _scaling, ...text_config } = gemma3b4.text_config
    const rope_parameters = {
      full_attention: { rope_type: 'linear', factor: 8.0, rope_theta: 1_000_000.0 },
      sliding_attention: { rope_type: 'default', rope_theta: 10_000.0 },
    }
    expect(parse({ ...gemma3b4, text_config: { ...text_config, rope_parameters } })).toEqual(parse(gemma3b4))
  })
})

describe('refuses, naming what is missing', () => {
  const changed = (change: Record<string, unknown>) => () =>
    parse({ ...gemma3b4, text_config: { ...gemma3b4.text_config, ...change } })

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['caps in Gemma 3', { attn_logit_softcapping: 50 }, /sets attn_logit_softcapping/],
    ['looking ahead', { use_bidirectional_attention: true }, /looks ahead/],
    ['another activation', { hidden_activation: 'relu' }, /uses the activation "relu"/],
    [
      'scaled positions in windows',
      { rope_parameters: { sliding_attention: { rope_type: 'linear', factor: 2 } } },
      /scales positions in layers with a window/,
    ],
  ])('%s', (_, change, message) => {
    expect(changed(change)).toThrow(message)
  })

  test('settings of text that are no object', () => {
    expect(() => parse({ ...gemma3b4, text_config: 3 })).toThrow(/"text_config" is 3; it must be an object/)
  })
})

describe("llama.cpp's files leave to defaults", () => {
  const shape = (layers: number) => ({
    ...{ context_length: 8192, embedding_length: 4608, block_count: layers, feed_forward_length: 36864 },
    ...{ 'attention.head_count': 32, 'attention.head_count_kv': 16, vocab_size: 256000 },
    ...{ 'attention.key_length': 128, 'attention.value_length': 128, 'attention.sliding_window': 4096 },
    'attention.layer_norm_rms_epsilon': 1e-6,
  })
  const parseGguf = (architecture: string, layers: number, own: Record<string, unknown> = {}) => {
    const keys = Object.entries({ ...shape(layers), ...own })
    const metadata = new Map<string, unknown>(keys.map(([key, value]) => [`${architecture}.${key}`, value]))
    metadata.set('general.architecture', architecture)
    return parseGgufConfig('gemma.gguf', metadata, new Map()).config
  }

  test('the caps, the period of windows and the scale of Gemma 2, which depends on its size', () => {
    expect(parseGguf('gemma2', 42)).toMatchObject({
      ...{ attentionSoftcap: 50, logitSoftcap: 30, attentionScale: 1 / Math.sqrt(128) },
      embeddingScale: Math.sqrt(4608),
    })
    expect(parseGguf('gemma2', 46).attentionScale).toBeCloseTo(1 / 12, 12)
    for (const own of [{}, { 'attention.sliding_window': undefined }]) {
      const { slidingWindow } = parseGguf('gemma2', 42, own)
      expect(slidingWindow?.size).toBe(4096)
      expect(slidingWindow?.layers.slice(0, 3)).toEqual([true, false, true])
    }
  })

  test('the period of windows and their base in Gemma 3', () => {
    const { slidingWindow } = parseGguf('gemma3', 34)
    expect(slidingWindow).toMatchObject({ size: 4096, ropeTheta: 10_000 })
    expect(slidingWindow?.layers.indexOf(false)).toBe(5)
    const other = parseGguf('gemma3', 34, {
      'attention.sliding_window_pattern': 3,
      'rope.freq_base_swa': 5000,
    })
    expect(other.slidingWindow?.ropeTheta).toBe(5000)
    expect(other.slidingWindow?.layers.indexOf(false)).toBe(2)
    expect(parseGguf('gemma3', 34, { 'attention.sliding_window': 0 }).slidingWindow).toBeNull()
  })

  test('a pattern that is neither a period nor one flag for each layer is refused', () => {
    const pattern = (value: unknown) => () =>
      parseGguf('gemma3', 34, { 'attention.sliding_window_pattern': value })
    expect(pattern([true, false])).toThrow(/true or false for each of 34 layers/)
    expect(pattern(99)).toThrow(/sliding_window_pattern" is 99; it must be a number from 0 to 34/)
  })
})
