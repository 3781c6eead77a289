import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import { LlamaCppModel, llamaCppAvailability } from '../testing/llama-cpp/index.ts'
import {
  parityTolerance,
  randomTokens,
  relativeDifference,
  tinyParityModel,
} from '../testing/parity/describe-parity.ts'
import { Pipeline, parityContext } from '../testing/parity/pipeline.ts'
import type { TinyFamily } from '../testing/tiny-models.ts'

let backend: Backend
const folder = mkdtempSync(join(tmpdir(), 'deos-prompts-'))

beforeAll(() => {
  backend = Backend.open({ threads: 1 })
})
afterAll(() => {
  backend.close()
  rmSync(folder, { recursive: true, force: true })
})

const promptTokens = 180
/**
 * ggml attends to 64 queries and more by matrix products, to fewer one by one, which rounds values in F16 otherwise. We
 * make 100 queries of 50 where two heads share a key: that is compared with llama.cpp's exact attention.
 */
const runs = [
  { chunk: promptTokens, precision: { kvType: 'F16' }, tolerance: parityTolerance },
  { chunk: 96, precision: { kvType: 'F16' }, tolerance: parityTolerance },
  { chunk: 50, precision: { kvType: 'F32', flashAttention: false }, tolerance: 2e-4 },
  { chunk: 25, precision: { kvType: 'F16' }, tolerance: parityTolerance },
] as const
const families: readonly TinyFamily[] = ['llama', 'qwen2', 'qwen3', 'gemma', 'gemma2', 'gemma3_text', 'phi3']

test.skipIf(!llamaCppAvailability().available).each(families)(
  `%s: llama.cpp's logits after a prompt of ${promptTokens} tokens, whole and in chunks`,
  async (family) => {
    const source = await tinyParityModel({ family }).write(mkdtempSync(join(folder, 'model-')), 1)
    const prompt = randomTokens(7, promptTokens, source.config.vocabSize)
    for (const { chunk, precision, tolerance } of runs) {
      const oracle = LlamaCppModel.open(source.path, {
        ...precision,
        context: parityContext,
        microbatch: chunk,
      })
      const expected = await oracle.prefill(0, prompt)
      oracle.close()
      const ours = await Pipeline.load(backend, source, [], precision.kvType)
      ours.allocate(0)
      let logits: Float32Array = new Float32Array(0)
      for (let first = 0; first < promptTokens; first += chunk) {
        const tokens = prompt.slice(first, first + chunk)
        const isLast = first + chunk >= promptTokens
        const outputs = isLast ? 'last' : 'none'
        logits = await ours.forward([{ sequence: 0, count: tokens.length, outputs }], tokens)
      }
      ours.close()
      expect(relativeDifference(logits, expected), `chunks of ${chunk}`).toBeLessThan(tolerance)
    }
  },
)
