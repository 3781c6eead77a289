import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import { LlamaCppModel, llamaCppAvailability } from '../testing/llama-cpp/index.ts'
import { randomTokens, relativeDifference, tinyParityModel } from '../testing/parity/describe-parity.ts'
import { Pipeline } from '../testing/parity/pipeline.ts'
import type { WeightType } from '../weights/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-latent-types-'))
let backend: Backend

beforeAll(() => {
  backend = Backend.open({ threads: 1 })
})

afterAll(() => {
  backend.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Wide enough that most rows fill the blocks of 32 and some those of 256. */
const wide = {
  ...{
    hiddenSize: 256,
    feedForwardSize: 512,
    layers: 4,
    headDim: 48,
    ropeDim: 16,
    attentionScale: 1 / Math.sqrt(48),
  },
  latentAttention: { queryRank: 64, kvRank: 64, valueDim: 32 },
}

/** Mostly there is no difference; a last bit more or less may round a vector to another multiple of its scale. */
const roundedDifferently = 3e-2

test.skipIf(!llamaCppAvailability().available).each<[WeightType, number]>([
  ['F16', 1e-3],
  ['Q8_0', roundedDifferently],
  ['Q4_K', roundedDifferently],
  ['Q4_0', roundedDifferently],
])('weights in %s mean what they mean to llama.cpp', async (type, tolerance) => {
  const model = tinyParityModel({ family: 'deepseek_v3', type, config: wide })
  for (const seed of [1, 2, 3]) {
    const source = await model.write(mkdtempSync(join(folder, 'model-')), seed)
    const ours = await Pipeline.load(backend, source, [], 'F32')
    const oracle = LlamaCppModel.open(source.path, { context: 256, kvType: 'F32', flashAttention: false })
    ours.allocate(0)
    const prompt = randomTokens(2, 12, source.config.vocabSize)
    const logits = await ours.forward([{ sequence: 0, count: 12, outputs: 'last' }], prompt)
    expect(relativeDifference(logits, await oracle.prefill(0, prompt))).toBeLessThan(tolerance)
    oracle.close()
    ours.close()
  }
})
