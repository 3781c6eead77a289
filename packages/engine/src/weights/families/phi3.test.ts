import { expect, test } from 'vitest'
import { describeShape } from '../describe-model.ts'
import { parseGgufConfig } from '../gguf-config.ts'
import { parseHuggingFaceConfig } from '../huggingface-config.ts'
import type { TensorInfo } from '../model-source.ts'

const parse = (config: Record<string, unknown>) =>
  parseHuggingFaceConfig('/models/some-phi/config.json', config).config

const phi3mini = {
  architectures: ['Phi3ForCausalLM'],
  ...{ attention_bias: false, bos_token_id: 1, eos_token_id: 32000, hidden_act: 'silu', hidden_size: 3072 },
  ...{ intermediate_size: 8192, max_position_embeddings: 4096, model_type: 'phi3', rms_norm_eps: 1e-5 },
  ...{ num_attention_heads: 32, num_hidden_layers: 32, num_key_value_heads: 32, rope_scaling: null },
  ...{ original_max_position_embeddings: 4096, rope_theta: 10000.0, sliding_window: 2047 },
  ...{ tie_word_embeddings: false, vocab_size: 32064 },
}
const short_factor = new Array<number>(48).fill(1)
const long_factor = Array.from({ length: 48 }, (_, pair) => 1 + pair)
const phi4mini = {
  ...phi3mini,
  ...{ bos_token_id: 199999, eos_token_id: 199999, max_position_embeddings: 131072, vocab_size: 200064 },
  ...{ num_attention_heads: 24, num_key_value_heads: 8, partial_rotary_factor: 0.75, lm_head_bias: false },
  ...{ rope_scaling: { long_factor, short_factor, type: 'longrope' }, sliding_window: 262144 },
  tie_word_embeddings: true,
}

test('Phi-3-mini-4k has 3,821,079,552 parameters and a window in every layer', () => {
  const config = parse(phi3mini)
  expect(config).toMatchObject({
    architecture: 'phi3',
    headDim: 96,
    ropeDim: 96,
    ropeScaling: { type: 'none' },
  })
  expect(config.slidingWindow).toMatchObject({ size: 2047, layers: new Array(32).fill(true) })
  expect(describeShape(config).parameters).toBe(3_821_079_552)
})

test('Phi-4-mini has 3,836,021,760 parameters, rotates 96 of 128 dimensions and has LongRoPE', () => {
  const config = parse(phi4mini)
  expect(config).toMatchObject({ headDim: 128, ropeDim: 96, tiedEmbeddings: true })
  expect(config.ropeScaling).toEqual({
    type: 'longrope',
    factors: { short: short_factor, long: long_factor },
    originalContext: 4096,
    // sqrt(1 + ln 32 / ln 4096), and ln 32 / ln 4096 = 5 / 12.
    attentionFactor: expect.closeTo(Math.sqrt(17 / 12), 12),
  })
  expect(describeShape(config).parameters).toBe(3_836_021_760)
})

test.each<[string, Record<string, unknown>, RegExp]>([
  ['too few factors', { ...phi4mini.rope_scaling, long_factor: [1, 2] }, /48 pairs per head, but has 2 long/],
  ['a factor of zero', { ...phi4mini.rope_scaling, short_factor: [0] }, /short_factor" is \[0\]; it must be/],
  ['no factors', { type: 'longrope', short_factor }, /long_factor" is missing; it must be a list/],
])('%s', (_, rope_scaling, message) => {
  expect(() => parse({ ...phi4mini, rope_scaling })).toThrow(message)
})

test('a head with biases is refused', () => {
  expect(() => parse({ ...phi4mini, lm_head_bias: true })).toThrow(/sets lm_head_bias/)
})

const metadata = new Map<string, unknown>([
  ['general.architecture', 'phi3'],
  ...Object.entries({
    ...{ context_length: 131072, embedding_length: 3072, block_count: 32, feed_forward_length: 8192 },
    ...{ 'attention.head_count': 24, 'attention.head_count_kv': 8, 'rope.dimension_count': 96 },
    ...{ 'attention.layer_norm_rms_epsilon': 1e-5, 'rope.scaling.original_context_length': 4096 },
    ...{ 'rope.scaling.attn_factor': 1.19, vocab_size: 200064 },
  }).map(([key, value]): [string, unknown] => [`phi3.${key}`, value]),
])

test('in GGUF the tensors tell that there is LongRoPE', () => {
  const parseGguf = (...names: string[]) => {
    const tensors = names.map((name): [string, TensorInfo] => [
      name,
      { name, type: 'F32', shape: [48], file: 'phi.gguf', offset: 0, sizeBytes: 192 },
    ])
    return parseGgufConfig('phi.gguf', metadata, new Map(tensors)).config
  }
  const { ropeScaling } = parseGguf('rope_factors_long.weight', 'rope_factors_short.weight')
  expect(ropeScaling).toEqual({
    ...{ type: 'longrope', factors: null, originalContext: 4096, attentionFactor: 1.19 },
  })
  expect(parseGguf().ropeScaling).toEqual({ type: 'none' })
  expect(() => parseGguf('rope_factors_long.weight')).toThrow(
    /rope_factors_long.weight is there, but not its pair/,
  )
})
