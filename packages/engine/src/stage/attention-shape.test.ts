import { describe, expect, test } from 'vitest'
import { tinyConfig } from '../testing/tiny-models.ts'
import { attentionShape, foldsHeads } from './attention-shape.ts'

test('plain attention has keys and values of the same width', () => {
  expect(attentionShape(tinyConfig('llama'))).toEqual({ heads: 4, kvHeads: 2, keyDim: 16, valueDim: 16 })
})

test('latent attention has one key for all heads, and values inside it', () => {
  const config = { ...tinyConfig('deepseek_v3'), heads: 128, ropeDim: 64 }
  const latentAttention = { queryRank: 1536, kvRank: 512, valueDim: 128 }
  expect(attentionShape({ ...config, latentAttention })).toEqual({
    ...{ heads: 128, kvHeads: 1, keyDim: 576, valueDim: 512 },
  })
})

describe('heads become queries', () => {
  const shape = { heads: 16, kvHeads: 1, keyDim: 576, valueDim: 512 }

  test.each([
    ['one token of 16 heads is too little', 1, 1024, false],
    ['four tokens fill the kernel', 4, 1024, true],
    ['63 tokens do not alone', 63, 1024, true],
    ['64 tokens of one head do', 64, 1024, false],
    ['the mask would become too large', 32, 1 << 15, true],
    ['the mask becomes too large', 33, 1 << 15, false],
  ])('%s', (_, queries, cells, folded) => {
    expect(foldsHeads(shape, queries, cells, 'F16')).toBe(folded)
  })

  test('those that share a key count', () => {
    expect(foldsHeads({ ...shape, kvHeads: 4 }, 15, 1024, 'F16')).toBe(false)
    expect(foldsHeads({ ...shape, kvHeads: 4 }, 16, 1024, 'F16')).toBe(true)
    expect(foldsHeads({ ...shape, kvHeads: 16 }, 63, 1024, 'F16')).toBe(false)
  })

  test('only of types the kernel takes', () => {
    expect(foldsHeads(shape, 8, 1024, 'Q8_0')).toBe(false)
    expect(foldsHeads(shape, 8, 1024, 'F32')).toBe(true)
  })
})
