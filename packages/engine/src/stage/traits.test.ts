import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ModelConfig } from '@deos/domain'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import { parityTolerance, randomTokens, relativeDifference } from '../testing/parity/describe-parity.ts'
import { Pipeline } from '../testing/parity/pipeline.ts'
import { type TinyModelOptions, writeTinyModel } from '../testing/tiny-models.ts'
import { convertModel, type ModelSource, openModel } from '../weights/index.ts'

let backend: Backend
const folder = mkdtempSync(join(tmpdir(), 'deos-traits-'))

beforeAll(() => {
  backend = Backend.open({ threads: 1 })
})
afterAll(() => {
  backend.close()
  rmSync(folder, { recursive: true, force: true })
})

type Options = Omit<TinyModelOptions, 'directory'>

async function write(options: Options): Promise<ModelSource> {
  const directory = join(mkdtempSync(join(folder, 'model-')), 'huggingface')
  await writeTinyModel({ directory, ...options })
  return openModel(directory)
}

/** Logits after a prompt of 60 tokens, longer than the windows of tiny models. */
async function logitsOf(source: ModelSource): Promise<Float32Array> {
  const pipeline = await Pipeline.load(backend, source)
  try {
    pipeline.allocate(0)
    const prompt = randomTokens(3, 60, source.config.vocabSize)
    return await pipeline.forward([{ sequence: 0, count: prompt.length, outputs: 'last' }], prompt)
  } finally {
    pipeline.close()
  }
}

const factors = {
  short: new Array<number>(8).fill(1),
  long: Array.from({ length: 8 }, (_, pair) => 1 + pair),
}
const longRope = { type: 'longrope', factors, originalContext: 64, attentionFactor: 1.2 } as const
const dynamic = { type: 'dynamic', factor: 4, originalContext: 128 } as const

describe('a Hugging Face folder and the GGUF file made from it compute the same', () => {
  test.each<[string, Options]>([
    ['llama', { family: 'llama' }],
    ['llama, dynamic NTK scaling', { family: 'llama', config: { ropeScaling: dynamic } }],
    ['gemma2', { family: 'gemma2' }],
    ['gemma3', { family: 'gemma3_text' }],
    ['phi3, LongRoPE', { family: 'phi3', config: { ropeScaling: longRope } }],
    ['phi3, half of each head rotated', { family: 'phi3', config: { ropeDim: 8 } }],
  ])('%s', async (_, options) => {
    const source = await write(options)
    const output = join(source.path, '..', 'model.gguf')
    await convertModel({ source, type: 'native', output })
    expect(await logitsOf(await openModel(output))).toEqual(await logitsOf(source))
  })
})

describe('a trait changes the logits by more than engines differ', () => {
  test.each<[string, Options, (config: ModelConfig) => Partial<ModelConfig>]>([
    ['the scale of embeddings', { family: 'gemma' }, () => ({ embeddingScale: 1 })],
    ['the scale of scores', { family: 'gemma2' }, () => ({ attentionScale: 0.11 })],
    ['the cap of scores', { family: 'gemma2' }, () => ({ attentionSoftcap: 0 })],
    ['the cap of logits', { family: 'gemma2' }, () => ({ logitSoftcap: 0 })],
    ['windows', { family: 'gemma2' }, () => ({ slidingWindow: null })],
    [
      'which layers have windows',
      { family: 'gemma3_text' },
      ({ slidingWindow }) => ({
        slidingWindow: { ...slidingWindow!, layers: slidingWindow!.layers.map((has) => !has) },
      }),
    ],
    [
      'that windows are chunks',
      { family: 'mistral' },
      ({ slidingWindow }) => ({ slidingWindow: { ...slidingWindow!, kind: 'chunked' } }),
    ],
    [
      'the base in windows',
      { family: 'gemma3_text' },
      ({ slidingWindow }) => ({ slidingWindow: { ...slidingWindow!, ropeTheta: null } }),
    ],
    ['how many dimensions rotate', { family: 'phi3', config: { ropeDim: 8 } }, () => ({ ropeDim: 16 })],
    [
      'the factors of LongRoPE',
      { family: 'phi3', config: { ropeScaling: longRope } },
      () => ({ ropeScaling: { ...longRope, originalContext: 512 } }),
    ],
    [
      "LongRoPE's attention factor",
      { family: 'phi3', config: { ropeScaling: longRope } },
      () => ({ ropeScaling: { ...longRope, attentionFactor: 1 } }),
    ],
    [
      'dynamic NTK scaling',
      { family: 'llama', config: { ropeScaling: dynamic } },
      () => ({ ropeScaling: { type: 'none' } }),
    ],
  ])('%s', async (_, options, change) => {
    const source = await write(options)
    const changed = { ...source, config: { ...source.config, ...change(source.config) } }
    const difference = relativeDifference(await logitsOf(changed), await logitsOf(source))
    expect(difference).toBeGreaterThan(10 * parityTolerance)
  })
})
