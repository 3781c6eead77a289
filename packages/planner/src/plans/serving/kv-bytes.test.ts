import { describe, expect, test } from 'vitest'
import { shapeFromHuggingFace } from '../../models/index.ts'
import { publishedShape } from '../../testing/index.ts'
import { kvBytesOf } from './kv-bytes.ts'

describe('K and V of a token', () => {
  test.each([
    // DeepSeek-AI, "Insights into DeepSeek-V3" (arXiv:2505.09343), table 1: 70.272 KB a token.
    ['DeepSeek-V3', 70_272],
    // 32 layers of 8 heads of 128, K and V in 16 bits: 128 KiB, as vLLM and others report.
    ['Mixtral-8x7B', 131_072],
    ['Llama-3-8B', 131_072],
    ['Llama-3-70B', 327_680],
  ])('of %s are %d bytes', (name, expected) => {
    expect(kvBytesOf(publishedShape(name), 1, 2)).toBe(expected)
  })

  test('are kept for no more than the window', () => {
    const mistral = publishedShape('Mistral-7B')
    expect(kvBytesOf(mistral, 4096, 2)).toBe(4096 * 131_072)
    expect(kvBytesOf(mistral, 32_768, 2)).toBe(4096 * 131_072)
  })

  test('are kept whole by layers without one', () => {
    // Every other layer of Gemma 2 has a window of 4,096.
    const gemma = shapeFromHuggingFace({
      model_type: 'gemma2',
      hidden_size: 3584,
      intermediate_size: 14336,
      num_hidden_layers: 42,
      num_attention_heads: 16,
      num_key_value_heads: 8,
      head_dim: 256,
      vocab_size: 256000,
      sliding_window: 4096,
      max_position_embeddings: 8192,
    })
    expect(kvBytesOf(gemma, 8192, 2)).toBe(21 * (4096 + 8192) * 2 * 8 * 256 * 2)
  })
})
