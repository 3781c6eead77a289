import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type LayerRange, seededRandom } from '@deos/domain'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import {
  argmax,
  LlamaCppModel,
  llamaCppAvailability,
  writeSlidingWindowTwin,
} from '../testing/llama-cpp/index.ts'
import { type TinyModelOptions, writeTinyModel } from '../testing/tiny-models.ts'
import {
  convertModel,
  type ModelSource,
  openModel,
  resolveStageWeights,
  type WeightType,
} from '../weights/index.ts'
import { type BatchEntry, Stage } from './index.ts'

/** Random models with every feature that changes a graph; 7 layers, so that cuts fall at odd places. */
const models: Record<string, Omit<TinyModelOptions, 'directory'>> = {
  llama: { family: 'llama' },
  'llama, head tied to the embedding': { family: 'llama', config: { tiedEmbeddings: true } },
  'llama, positions scaled as in Llama 3': {
    family: 'llama',
    config: {
      ropeScaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContext: 64 },
    },
  },
  'llama, positions scaled linearly': {
    family: 'llama',
    config: { ropeScaling: { type: 'linear', factor: 4 } },
  },
  'qwen3, positions scaled by YaRN': {
    family: 'qwen3',
    config: {
      ropeScaling: {
        ...{ type: 'yarn', factor: 4, originalContext: 128, attentionFactor: 0.1 * Math.log(4) + 1 },
        ...{ betaFast: 32, betaSlow: 1 },
      },
    },
  },
  'mistral, a sliding window of 16': { family: 'mistral' },
  'qwen2, biases and a tied head': { family: 'qwen2' },
  'qwen3, normalised wide heads': { family: 'qwen3' },
}
/** Rows that fill the blocks of 256 of K-quants. */
const wide = { family: 'llama', config: { hiddenSize: 256, feedForwardSize: 512, headDim: 64 } } as const
const layerCount = 7
const steps = 64
/** Largest difference of a logit, relative to the largest logit. */
const tolerance = 1e-3

const availability = llamaCppAvailability()
const folder = mkdtempSync(join(tmpdir(), 'deos-parity-'))
let backend: Backend

beforeAll(() => {
  backend = Backend.open({ threads: 1 })
})

afterAll(() => {
  backend.close()
  rmSync(folder, { recursive: true, force: true })
})

const slug = (name: string) => name.replaceAll(/[^a-z0-9]+/gi, '-')

async function fixture(name: string, type: WeightType): Promise<ModelSource> {
  const options = models[name] ?? wide
  const directory = join(folder, slug(name))
  await writeTinyModel({ directory, ...options, config: { layers: layerCount, ...options.config } })
  const output = join(folder, `${slug(name)}-${type}.gguf`)
  await convertModel({ source: await openModel(directory), type, output, overwrite: true })
  return openModel(output)
}

async function loadStage(source: ModelSource, layers: LayerRange): Promise<Stage> {
  const part = { layers, embedding: layers.first === 0, head: layers.end === source.config.layers }
  const weights = await resolveStageWeights({
    source,
    ...part,
    type: 'native',
    cacheDir: join(folder, 'cache'),
  })
  const kv = { type: 'F16', pageCount: 64, pageTokens: 16 } as const
  return Stage.load(backend, { config: source.config, ...part, weights, kv, maxBatchTokens: 128 })
}

/** Consecutive stages that together hold the model, as a ring runs them. */
class Pipeline {
  private constructor(private readonly stages: readonly Stage[]) {}

  /** @param cuts - layers at which a new stage begins */
  static async load(source: ModelSource, cuts: readonly number[]): Promise<Pipeline> {
    const bounds = [0, ...cuts, source.config.layers]
    const stages: Stage[] = []
    for (const [index, end] of bounds.slice(1).entries()) {
      stages.push(await loadStage(source, { first: bounds[index]!, end }))
    }
    return new Pipeline(stages)
  }

  allocate(sequence: number): void {
    for (const stage of this.stages) stage.kv.pages.allocate(sequence)
  }

  /** @returns logits `[outputs, vocabSize]` */
  async forward(entries: readonly BatchEntry[], tokens: Int32Array): Promise<Float32Array> {
    const [first, ...rest] = this.stages
    let output = await first!.forward({ entries, tokens })
    for (const stage of rest) output = await stage.forward({ entries, hidden: output.hidden })
    return output.logits.slice()
  }

  close(): void {
    for (const stage of this.stages) stage.close()
  }
}

const randomTokens = (seed: number, length: number, vocabSize: number) => {
  const random = seededRandom(seed)
  return Int32Array.from({ length }, () => Math.floor(random.next() * vocabSize))
}

function relativeDifference(actual: Float32Array, expected: Float32Array): number {
  let difference = 0
  let scale = 0
  for (const [index, value] of expected.entries()) {
    difference = Math.max(difference, Math.abs(actual[index]! - value))
    scale = Math.max(scale, Math.abs(value))
  }
  return difference / scale
}

const last = (count: number, sequence = 0): BatchEntry => ({ sequence, count, outputs: 'last' })

describe.skipIf(!availability.available)(
  availability.available ? "llama.cpp's own graphs" : `llama.cpp: ${availability.reason}`,
  () => {
    async function openOracle(name: string, source: ModelSource): Promise<LlamaCppModel> {
      if (source.config.slidingWindow === null) return LlamaCppModel.open(source.path)
      const path = join(folder, `${slug(name)}-twin.gguf`)
      await writeSlidingWindowTwin(source, path)
      return LlamaCppModel.open(path)
    }

    async function compare(name: string, type: WeightType): Promise<void> {
      const source = await fixture(name, type)
      const stage = await loadStage(source, { first: 0, end: source.config.layers })
      const oracle = await openOracle(name, source)
      try {
        const prompt = randomTokens(5, 24, source.config.vocabSize)
        stage.kv.pages.allocate(0)
        let { logits } = await stage.forward({ entries: [last(prompt.length)], tokens: prompt })
        let expected = await oracle.prefill(0, prompt)
        for (let step = 0; step < steps; step++) {
          expect(relativeDifference(logits, expected), `logits of step ${step}`).toBeLessThan(tolerance)
          const token = argmax(expected)
          expect(argmax(logits), `token of step ${step}`).toBe(token)
          ;({ logits } = await stage.forward({ entries: [last(1)], tokens: Int32Array.of(token) }))
          const position = prompt.length + step
          expected = (await oracle.decode([{ sequence: 0, token, position }]))[0]!
        }
      } finally {
        oracle.close()
        stage.close()
      }
    }

    test.each(Object.keys(models))('%s: same greedy tokens and logits over 64 steps', (name) =>
      compare(name, 'F32'),
    )

    test.each(['F16', 'Q8_0', 'Q4_0', 'Q4_K', 'Q6_K'] as const)('a llama in %s', (type) =>
      compare('wide', type),
    )

    test('the sliding window is what makes a Mistral differ from a Llama', async () => {
      const source = await fixture('mistral, a sliding window of 16', 'F32')
      const [windowed, blind] = [await openOracle('mistral', source), LlamaCppModel.open(source.path)]
      const prompt = randomTokens(5, 24, source.config.vocabSize)
      const inside = prompt.subarray(0, 16)
      expect(
        relativeDifference(await windowed.prefill(0, inside), await blind.prefill(0, inside)),
      ).toBeLessThan(tolerance)
      const beyond = prompt.subarray(16)
      const logits = await windowed.prefill(0, beyond, 16)
      expect(relativeDifference(logits, await blind.prefill(0, beyond, 16))).toBeGreaterThan(tolerance)
      windowed.close()
      blind.close()
    })
  },
)

describe('splitting anywhere changes nothing', () => {
  const everyLayer = Array.from({ length: layerCount - 1 }, (_, index) => index + 1)
  const splits = [[1], [4], [6], [2, 5], [1, 6], everyLayer]

  test.each(Object.keys(models))('%s', async (name) => {
    const source = await fixture(name, 'F16')
    const { vocabSize } = source.config
    const prompts = [9, 33, 1].map((length, sequence) => randomTokens(sequence, length, vocabSize))
    const decoded = Array.from({ length: 20 }, (_, step) =>
      randomTokens(100 + step, prompts.length, vocabSize),
    )

    /** A prompt alone, two together, then decode steps of all three in one batch. */
    const run = async (cuts: readonly number[]) => {
      const pipeline = await Pipeline.load(source, cuts)
      for (const sequence of prompts.keys()) pipeline.allocate(sequence)
      const [first, second, third] = prompts as [Int32Array, Int32Array, Int32Array]
      const logits = [await pipeline.forward([{ ...last(first.length), outputs: 'all' }], first)]
      const together = Int32Array.of(...second, ...third)
      logits.push(await pipeline.forward([last(second.length, 1), last(third.length, 2)], together))
      for (const tokens of decoded)
        logits.push(await pipeline.forward([last(1), last(1, 1), last(1, 2)], tokens))
      pipeline.close()
      return logits
    }

    const whole = await run([])
    for (const cuts of splits) expect(await run(cuts), `cut at ${cuts}`).toEqual(whole)
  })
})
