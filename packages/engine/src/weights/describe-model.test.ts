import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ModelConfig, plainTraits, windowEverywhere } from '@deos/domain'
import { expect, test } from 'vitest'
import { writeTinyModel } from '../testing/tiny-models.ts'
import { decodeFlops, describeModel, describeShape, prefillFlops } from './describe-model.ts'
import { openModel } from './open-model.ts'

const llama3: ModelConfig = {
  architecture: 'llama',
  name: 'Llama-3-8B',
  layers: 32,
  hiddenSize: 4096,
  feedForwardSize: 14336,
  heads: 32,
  kvHeads: 8,
  headDim: 128,
  vocabSize: 128256,
  contextLength: 8192,
  normEpsilon: 1e-5,
  ropeTheta: 500_000,
  ropeDim: 128,
  ropeScaling: { type: 'none' },
  ...plainTraits(128),
  tiedEmbeddings: false,
  bosToken: 128000,
  eosTokens: [128001],
}
// Per layer: q and o 4096 x 4096 each, k and v 4096 x 1024 each, feed-forward 3 x 4096 x 14336.
const layerMatrices = 2 * 16_777_216 + 2 * 4_194_304 + 3 * 58_720_256

test('Llama-3-8B has 8,030,261,248 parameters, as published', () => {
  const description = describeShape(llama3)
  expect(description.parameters).toBe(8_030_261_248)
  expect(description.embedding.parameters).toBe(128_256 * 4096)
  expect(description.head.parameters).toBe(128_256 * 4096 + 4096)
  expect(description.layers).toHaveLength(32)
  expect(description.layers[0]!.parameters).toBe(layerMatrices + 2 * 4096)
  expect(description.storedBytes).toBeNull()
})

test('bytes: matrices in the type, norms in F32', () => {
  const { bytes } = describeShape(llama3).layers[0]!
  const norms = 2 * 4096 * 4
  expect(bytes.F16).toBe(layerMatrices * 2 + norms)
  // 34 bytes per 32 elements, and 144 per 256.
  expect(bytes.Q8_0).toBe((layerMatrices / 32) * 34 + norms)
  expect(bytes.Q4_K).toBe((layerMatrices / 256) * 144 + norms)
})

test('KV: 128 KiB per token in F16', () => {
  expect(describeShape(llama3).kvBytesPerToken).toEqual({ f16: 128 * 1024, f32: 256 * 1024 })
})

test('FLOPs per token: 2 per parameter of every matrix, 4 per head dimension and position', () => {
  const linear = 2 * (32 * layerMatrices + 128_256 * 4096)
  expect(decodeFlops(llama3, 0)).toBe(linear)
  expect(decodeFlops(llama3, 8192) - linear).toBe(32 * 4 * 4096 * 8192)
  // Tokens 1, 2, 3 look back at 1 + 2 + 3 positions; only the last becomes logits.
  expect(prefillFlops(llama3, 3)).toBe(3 * 2 * 32 * layerMatrices + 2 * 128_256 * 4096 + 32 * 4 * 4096 * 6)
})

test('a sliding window bounds attention', () => {
  const mistral = { ...llama3, slidingWindow: windowEverywhere(4, 32) }
  expect(decodeFlops(mistral, 1000)).toBe(decodeFlops(llama3, 4))
  // Six tokens look back at 1, 2, 3, 4, 4, 4.
  const attention = (config: ModelConfig) =>
    prefillFlops(config, 6) - 6 * 2 * 32 * layerMatrices - 2 * 128_256 * 4096
  expect(attention(mistral)).toBe(32 * 4 * 4096 * 18)
})

test('a window in some layers, and one that begins anew, bound what those layers look at', () => {
  const layers = Array.from({ length: 32 }, (_, layer) => layer % 2 === 0)
  const half = { ...llama3, slidingWindow: { ...windowEverywhere(4, 32), layers } }
  const linear = decodeFlops(llama3, 0)
  // 16 layers look back at 4 positions, 16 at 10.
  expect(decodeFlops(half, 10) - linear).toBe(4 * 4096 * 16 * (4 + 10))
  const chunked = { ...half, slidingWindow: { ...half.slidingWindow, kind: 'chunked' as const } }
  // Position 9, the tenth, is the second of the third chunk.
  expect(decodeFlops(chunked, 10) - linear).toBe(4 * 4096 * 16 * (2 + 10))
  const attention = (config: ModelConfig) =>
    prefillFlops(config, 6) - 6 * 2 * 32 * layerMatrices - 2 * 128_256 * 4096
  // In chunks: 1, 2, 3, 4, 1, 2; elsewhere 1 to 6.
  expect(attention(chunked)).toBe(4 * 4096 * 16 * (13 + 21))
})

test('an opened model also has the bytes it takes now; a tied head counts once', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'deos-describe-'))
  await writeTinyModel({ directory, family: 'qwen2' })
  const description = describeModel(await openModel(directory))
  expect(description.storedBytes).toBe(description.parameters * 2)
  expect(description.head.parameters).toBe(64)
  expect(description.layers[3]!.storedBytes).toBe(description.layers[3]!.parameters * 2)
  await rm(directory, { recursive: true })
})
