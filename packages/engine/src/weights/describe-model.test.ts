import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ModelConfig } from '@deos/domain'
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
  slidingWindow: null,
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
  const mistral = { ...llama3, slidingWindow: 4 }
  expect(decodeFlops(mistral, 1000)).toBe(decodeFlops(llama3, 4))
  // Six tokens look back at 1, 2, 3, 4, 4, 4.
  const attention = (config: ModelConfig) =>
    prefillFlops(config, 6) - 6 * 2 * 32 * layerMatrices - 2 * 128_256 * 4096
  expect(attention(mistral)).toBe(32 * 4 * 4096 * 18)
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
