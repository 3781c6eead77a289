import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seededRandom } from '@deos/domain'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Backend } from '../../ggml/backend.ts'
import type { BatchEntry } from '../../stage/index.ts'
import { convertModel, type ModelSource, openModel, type WeightType } from '../../weights/index.ts'
import { argmax, LlamaCppModel, llamaCppAvailability } from '../llama-cpp/index.ts'
import { type TinyModelOptions, writeTinyModel } from '../tiny-models.ts'
import { Pipeline, parityContext } from './pipeline.ts'

export interface ParityModel {
  /** Writes the model with weights drawn from `seed` into a new folder, as a GGUF file. */
  write(folder: string, seed: number): Promise<ModelSource>
  /** Writes what llama.cpp runs in its place, where it runs the file itself differently. */
  twin?(source: ModelSource, path: string): Promise<void>
  /**
   * Keep K and V in F32 on both sides, and llama.cpp's attention unfused: where our kernel is another one than
   * llama.cpp's, or rounding of F16 could change which experts are chosen.
   */
  readonly exact?: boolean
}

/** Largest difference of a logit, relative to the largest logit. */
export const parityTolerance = 1e-3
const exactTolerance = 1e-4

const toleranceOf = ({ exact = false }: ParityModel): number => (exact ? exactTolerance : parityTolerance)

const seeds = [1, 2, 3]
const steps = 64
/**
 * Positions that a batch of eight starts at; uneven, and beyond every window of these models. Between 31 and 64 tokens
 * the heads that share a key go into ggml's kernel together, which rounds otherwise than llama.cpp.
 */
const promptLengths = [24, 9, 31, 1, 17, 28, 5, 12]
const splits = [[1], [4], [6], [2, 5], [1, 6], [1, 2, 3, 4, 5, 6]]

interface TinyParityOptions extends Omit<TinyModelOptions, 'directory' | 'seed'> {
  /** What matrices are converted to. Default: F32. */
  readonly type?: WeightType | 'native'
}

/** A tiny model out of a Hugging Face folder; 7 layers, so that cuts fall at odd places. */
export function tinyParityModel(
  { type = 'F32', ...options }: TinyParityOptions,
  comparison: Pick<ParityModel, 'twin' | 'exact'> = {},
): ParityModel {
  return {
    ...comparison,
    async write(folder, seed) {
      const directory = join(folder, 'huggingface')
      await writeTinyModel({ directory, ...options, seed, config: { layers: 7, ...options.config } })
      const output = join(folder, 'model.gguf')
      await convertModel({ source: await openModel(directory), type, output })
      return openModel(output)
    },
  }
}

/** Token ids drawn from `seed`. */
export function randomTokens(seed: number, length: number, vocabSize: number): Int32Array {
  const random = seededRandom(seed)
  return Int32Array.from({ length }, () => Math.floor(random.next() * vocabSize))
}

/** The largest difference over the largest expected value. */
export function relativeDifference(actual: Float32Array, expected: Float32Array): number {
  let difference = 0
  let scale = 0
  for (const [index, value] of expected.entries()) {
    difference = Math.max(difference, Math.abs(actual[index]! - value))
    scale = Math.max(scale, Math.abs(value))
  }
  return difference / scale
}

const last = (count: number, sequence = 0): BatchEntry => ({ sequence, count, outputs: 'last' })

/**
 * Tests that every model gives the logits and greedy tokens of llama.cpp from the same file, alone and eight at a
 * time, and bit for bit the same logits however its layers are cut into stages.
 */
export function describeParity(models: Readonly<Record<string, ParityModel>>): void {
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

  const write = (model: ParityModel, seed: number) => model.write(mkdtempSync(join(folder, 'model-')), seed)

  async function openBoth(model: ParityModel, seed: number, sequences: number) {
    const source = await write(model, seed)
    const path = model.twin ? `${source.path}.twin.gguf` : source.path
    await model.twin?.(source, path)
    const ours = await Pipeline.load(backend, source, [], model.exact ? 'F32' : 'F16')
    for (let sequence = 0; sequence < sequences; sequence += 1) ours.allocate(sequence)
    const precision = model.exact ? ({ kvType: 'F32', flashAttention: false } as const) : {}
    return {
      source,
      ours,
      oracle: LlamaCppModel.open(path, { ...precision, sequences, context: parityContext, microbatch: 192 }),
    }
  }

  async function compareGreedy(model: ParityModel, seed: number): Promise<void> {
    const { source, ours, oracle } = await openBoth(model, seed, 1)
    try {
      const prompt = randomTokens(seed, 24, source.config.vocabSize)
      let logits = await ours.forward([last(prompt.length)], prompt)
      let expected = await oracle.prefill(0, prompt)
      for (let step = 0; step < steps; step += 1) {
        const where = `step ${step} with seed ${seed}`
        expect(relativeDifference(logits, expected), `logits of ${where}`).toBeLessThan(toleranceOf(model))
        const token = argmax(expected)
        expect(argmax(logits), `token of ${where}`).toBe(token)
        logits = await ours.forward([last(1)], Int32Array.of(token))
        expected = (await oracle.decode([{ sequence: 0, token, position: prompt.length + step }]))[0]!
      }
    } finally {
      oracle.close()
      ours.close()
    }
  }

  async function compareBatch(model: ParityModel): Promise<void> {
    const { source, ours, oracle } = await openBoth(model, seeds[0]!, promptLengths.length)
    const { vocabSize } = source.config
    try {
      const prompts = promptLengths.map((length, sequence) => randomTokens(sequence, length, vocabSize))
      const entries = prompts.map((prompt, sequence) => last(prompt.length, sequence))
      let logits = await ours.forward(entries, Int32Array.from(prompts.flatMap((prompt) => [...prompt])))
      let expected: Float32Array[] = []
      for (const [sequence, prompt] of prompts.entries()) {
        expected.push(await oracle.prefill(sequence, prompt))
      }
      for (let step = 0; step < 16; step += 1) {
        for (const [sequence, wanted] of expected.entries()) {
          const own = logits.subarray(sequence * vocabSize, (sequence + 1) * vocabSize)
          const where = `sequence ${sequence}, step ${step}`
          expect(relativeDifference(own, wanted), where).toBeLessThan(toleranceOf(model))
        }
        const tokens = expected.map(argmax)
        logits = await ours.forward(
          tokens.map((_, sequence) => last(1, sequence)),
          Int32Array.from(tokens),
        )
        expected = await oracle.decode(
          tokens.map((token, sequence) => ({
            ...{ sequence, token },
            position: promptLengths[sequence]! + step,
          })),
        )
      }
    } finally {
      oracle.close()
      ours.close()
    }
  }

  /** A prompt alone, two together, then decode steps of all three in one batch. */
  async function runSplit(source: ModelSource, cuts: readonly number[]): Promise<readonly Float32Array[]> {
    const { vocabSize } = source.config
    const [first, second, third] = [9, 33, 1].map((length, seed) => randomTokens(seed, length, vocabSize))
    const pipeline = await Pipeline.load(backend, source, cuts)
    for (const sequence of [0, 1, 2]) pipeline.allocate(sequence)
    const logits = [await pipeline.forward([{ ...last(first!.length), outputs: 'all' }], first!)]
    const together = Int32Array.of(...second!, ...third!)
    logits.push(await pipeline.forward([last(second!.length, 1), last(third!.length, 2)], together))
    for (let step = 0; step < 20; step += 1) {
      const tokens = randomTokens(100 + step, 3, vocabSize)
      logits.push(await pipeline.forward([last(1), last(1, 1), last(1, 2)], tokens))
    }
    pipeline.close()
    return logits
  }

  describe.skipIf(!availability.available)(
    availability.available ? "llama.cpp's own graphs" : `llama.cpp: ${availability.reason}`,
    () => {
      test.each(Object.entries(models))(
        '%s: same greedy tokens and logits over 64 steps',
        async (_, model) => {
          for (const seed of seeds) await compareGreedy(model, seed)
        },
      )

      test.each(Object.entries(models))('%s: same logits in a batch of eight', (_, model) =>
        compareBatch(model),
      )
    },
  )

  test.each(Object.entries(models))('%s: splitting anywhere changes nothing', async (_, model) => {
    const source = await write(model, seeds[0]!)
    const whole = await runSplit(source, [])
    for (const cuts of splits.filter((each) => each.every((cut) => cut < source.config.layers))) {
      expect(await runSplit(source, cuts), `cut at ${cuts}`).toEqual(whole)
    }
  })
}
