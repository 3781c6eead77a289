import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { plainTraits } from '@deos/domain'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import { argmax, LlamaCppModel, llamaCppAvailability } from '../testing/llama-cpp/index.ts'
import { randomTokens, relativeDifference, tinyParityModel } from '../testing/parity/describe-parity.ts'
import { Pipeline } from '../testing/parity/pipeline.ts'
import { tinyConfig } from '../testing/tiny-models.ts'
import { kvPageBytes } from './kv-cache.ts'
import { hadamard, rotationSizes } from './kv-rotation.ts'
import { chooseKvType, KvTypeError } from './kv-type.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-kv-'))
let backend: Backend

beforeAll(() => {
  backend = Backend.open({ threads: 1 })
})
afterAll(() => {
  backend.close()
  rmSync(folder, { recursive: true, force: true })
})

const quantised = ['Q8_0', 'Q4_0'] as const
const last = (count: number) => [{ sequence: 0, count, outputs: 'last' as const }]
const write = (headDim: number, seed = 1) =>
  tinyParityModel({ family: 'llama', config: { headDim, layers: 4 } }).write(
    mkdtempSync(join(folder, 'model-')),
    seed,
  )

/** A rounding that falls the other way moves one value by a step of its type. */
const tolerances = { Q8_0: 2e-3, Q4_0: 2e-2 } as const

test
  .skipIf(!llamaCppAvailability().available)
  .each(quantised.flatMap((type) => [32, 64, 128].map((headDim) => [type, headDim] as const)))(
  'K and V in %s, heads of %i: the logits of llama.cpp with the same',
  async (type, headDim) => {
    const source = await write(headDim)
    const ours = await Pipeline.load(backend, source, [2], type)
    const oracle = LlamaCppModel.open(source.path, { context: 256, kvType: type })
    ours.allocate(0)
    const prompt = randomTokens(1, 24, source.config.vocabSize)
    let logits = await ours.forward(last(24), prompt)
    let expected = await oracle.prefill(0, prompt)
    for (let step = 0; step < 64; step += 1) {
      expect(relativeDifference(logits, expected), `step ${step}`).toBeLessThan(tolerances[type])
      const token = argmax(expected)
      expect(argmax(logits), `token of step ${step}`).toBe(token)
      logits = await ours.forward(last(1), Int32Array.of(token))
      expected = (await oracle.decode([{ sequence: 0, token, position: 24 + step }]))[0]!
    }
    oracle.close()
    ours.close()
  },
)

test('eight bits say what sixteen say, and four something close', async () => {
  const source = await write(64)
  const prompt = randomTokens(2, 100, source.config.vocabSize)
  const run = async (type: 'F16' | 'Q8_0' | 'Q4_0') => {
    const pipeline = await Pipeline.load(backend, source, [], type)
    pipeline.allocate(0)
    const logits = await pipeline.forward([{ sequence: 0, count: 100, outputs: 'all' }], prompt)
    pipeline.close()
    return logits
  }
  const exact = await run('F16')
  const [q8, q4] = [await run('Q8_0'), await run('Q4_0')]
  expect(relativeDifference(q8, exact)).toBeLessThan(0.05)
  expect(relativeDifference(q4, exact)).toBeGreaterThan(relativeDifference(q8, exact))
  const agreement = (logits: Float32Array) => {
    const { vocabSize } = source.config
    const rows = Array.from({ length: 100 }, (_, row) => [row * vocabSize, (row + 1) * vocabSize] as const)
    return rows.filter(([from, to]) => argmax(logits.subarray(from, to)) === argmax(exact.subarray(from, to)))
  }
  expect(agreement(q8).length).toBeGreaterThanOrEqual(98)
  expect(agreement(q4).length).toBeGreaterThanOrEqual(50)
})

test('a page takes what its blocks take', () => {
  const config = tinyConfig('llama', { headDim: 64, kvHeads: 2, ...plainTraits(64) })
  const page = (type: 'F16' | 'Q8_0' | 'Q4_0') => kvPageBytes(config, 3, { type, pageTokens: 16 })
  expect(page('F16')).toBe(2 * 3 * 16 * 2 * 64 * 2)
  expect(page('Q8_0')).toBe(2 * 3 * 16 * 2 * 2 * 34)
  expect(page('Q4_0')).toBe(2 * 3 * 16 * 2 * 2 * 18)
})

test('heads that do not fill blocks are refused by name', async () => {
  expect(() => chooseKvType('Q8_0', 80)).toThrow(KvTypeError)
  expect(() => chooseKvType('Q4_0', 48)).toThrow(/Q4_0 .* blocks of 32 .* heads of 48/)
  expect(chooseKvType('Q8_0', 96)).toBe('Q8_0')
  const source = await write(16)
  await expect(Pipeline.load(backend, source, [], 'Q8_0')).rejects.toThrow(KvTypeError)
})

test('heads of multiples of 64 are rotated, values in blocks of 64 unless they lie in the keys', () => {
  const plain = (dim: number) => ({ heads: 4, kvHeads: 2, keyDim: dim, valueDim: dim })
  expect(rotationSizes(plain(128), 'F16', false)).toEqual({ key: null, value: null })
  expect(rotationSizes(plain(32), 'Q8_0', false)).toEqual({ key: null, value: null })
  expect(rotationSizes(plain(128), 'Q8_0', false)).toEqual({ key: 128, value: 64 })
  expect(rotationSizes(plain(192), 'Q4_0', false)).toEqual({ key: 64, value: 64 })
  const latent = { heads: 16, kvHeads: 1, keyDim: 576, valueDim: 512 }
  expect(rotationSizes(latent, 'Q8_0', true)).toEqual({ key: 64, value: 64 })
  expect(rotationSizes({ ...latent, keyDim: 640, valueDim: 608 }, 'Q8_0', true)).toEqual({
    ...{ key: null, value: null },
  })
})

test('the rotation is its own inverse', () => {
  const matrix = hadamard(64)
  for (const [row, column] of [
    [0, 0],
    [5, 5],
    [5, 9],
    [63, 1],
  ] as const) {
    let sum = 0
    for (let index = 0; index < 64; index += 1)
      sum += matrix[row * 64 + index]! * matrix[index * 64 + column]!
    expect(sum).toBeCloseTo(row === column ? 1 : 0, 6)
  }
})
