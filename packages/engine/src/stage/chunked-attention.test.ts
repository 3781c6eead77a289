import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import { argmax, LlamaCppModel, llamaCppAvailability } from '../testing/llama-cpp/index.ts'
import {
  parityTolerance,
  randomTokens,
  relativeDifference,
  tinyParityModel,
} from '../testing/parity/describe-parity.ts'
import { resolveStageWeights } from '../weights/index.ts'
import { Stage } from './index.ts'

const chunk = 8192
const context = chunk + 256
const step = 512
const availability = llamaCppAvailability()

/** Queries grow and chunked layers begin anew at 8192 positions, which llama.cpp has as a constant. */
test.skipIf(!availability.available)(
  availability.available
    ? "llama4: llama.cpp's logits before and behind the end of a chunk"
    : `llama.cpp: ${availability.reason}`,
  { timeout: 60_000 },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'deos-chunked-'))
    const backend = Backend.open({ threads: 1 })
    const model = tinyParityModel({
      family: 'llama4_text',
      config: { layers: 4, heads: 2, kvHeads: 1, hiddenSize: 32, contextLength: context },
    })
    const source = await model.write(folder, 1)
    const part = { layers: { first: 0, end: 4 }, embedding: true, head: true }
    const weights = await resolveStageWeights({ source, ...part, type: 'native', cacheDir: folder })
    const pages = Array.from({ length: context / 64 }, (_, page) => page)
    const kv = { type: 'F16', pageCount: pages.length, pageTokens: 64 } as const
    const stage = await Stage.load(backend, {
      config: source.config,
      ...part,
      weights,
      kv,
      maxBatchTokens: step,
    })
    const oracle = LlamaCppModel.open(source.path, { context, batch: step })
    try {
      stage.kv.pages.open(0, pages)
      /** Logits of the last token; of all they are computed, since ggml's kernel for one query rounds otherwise. */
      const forward = async (tokens: Int32Array) => {
        const entries = [{ sequence: 0, count: tokens.length, outputs: 'all' as const }]
        return (await stage.forward({ entries, tokens })).logits.slice(-source.config.vocabSize)
      }
      const prompt = randomTokens(3, chunk - 2, source.config.vocabSize)
      let logits = new Float32Array(0)
      for (let first = 0; first < prompt.length; first += step) {
        logits = await forward(prompt.subarray(first, first + step))
      }
      let expected = await oracle.prefill(0, prompt)
      for (let position = prompt.length; position < chunk + 8; position += 1) {
        expect(relativeDifference(logits, expected), `before position ${position}`).toBeLessThan(
          parityTolerance,
        )
        const token = argmax(expected)
        expect(argmax(logits)).toBe(token)
        logits = await forward(Int32Array.of(token))
        expected = (await oracle.decode([{ sequence: 0, token, position }]))[0]!
      }
    } finally {
      oracle.close()
      stage.close()
      backend.close()
      rmSync(folder, { recursive: true })
    }
  },
)
