import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LlamaCppModel, llamaCppAvailability, writeSlidingWindowTwin } from '../testing/llama-cpp/index.ts'
import {
  describeParity,
  parityTolerance,
  randomTokens,
  relativeDifference,
  tinyParityModel,
} from '../testing/parity/describe-parity.ts'

const mistral = tinyParityModel({ family: 'mistral' }, { twin: writeSlidingWindowTwin })

/** Random models with every feature that changes the graph of a plain dense model. */
describeParity({
  llama: tinyParityModel({ family: 'llama' }),
  'llama, head tied to the embedding': tinyParityModel({
    family: 'llama',
    config: { tiedEmbeddings: true },
  }),
  'llama, positions scaled as in Llama 3': tinyParityModel({
    family: 'llama',
    config: {
      ropeScaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContext: 64 },
    },
  }),
  'llama, positions scaled linearly': tinyParityModel({
    family: 'llama',
    config: { ropeScaling: { type: 'linear', factor: 4 } },
  }),
  'qwen3, positions scaled by YaRN': tinyParityModel({
    family: 'qwen3',
    config: {
      ropeScaling: {
        ...{ type: 'yarn', factor: 4, originalContext: 128, attentionFactor: 0.1 * Math.log(4) + 1 },
        ...{ betaFast: 32, betaSlow: 1 },
      },
    },
  }),
  'mistral, a sliding window of 16': mistral,
  'qwen2, biases and a tied head': tinyParityModel({ family: 'qwen2' }),
  'qwen3, normalised wide heads': tinyParityModel({ family: 'qwen3' }),
})

test.skipIf(!llamaCppAvailability().available)(
  'the sliding window is what makes a Mistral differ from a Llama',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'deos-window-'))
    const source = await mistral.write(folder, 1)
    await writeSlidingWindowTwin(source, join(folder, 'twin.gguf'))
    const [windowed, blind] = [LlamaCppModel.open(join(folder, 'twin.gguf')), LlamaCppModel.open(source.path)]
    const prompt = randomTokens(5, 24, source.config.vocabSize)
    const inside = prompt.subarray(0, 16)
    expect(
      relativeDifference(await windowed.prefill(0, inside), await blind.prefill(0, inside)),
    ).toBeLessThan(parityTolerance)
    const beyond = prompt.subarray(16)
    const logits = await windowed.prefill(0, beyond, 16)
    expect(relativeDifference(logits, await blind.prefill(0, beyond, 16))).toBeGreaterThan(parityTolerance)
    windowed.close()
    blind.close()
    rmSync(folder, { recursive: true })
  },
)
