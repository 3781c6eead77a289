import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LayerRange } from '@deos/domain'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import type { TensorType } from '../ggml/tensor-type.ts'
import { RankSplitError, type StageSplit, unsplit } from '../ranks/index.ts'
import { randomTokens, relativeDifference } from '../testing/parity/describe-parity.ts'
import { RankGroup } from '../testing/rank-group.ts'
import { type TinyFamily, type TinyModelOptions, writeTinyModel } from '../testing/tiny-models.ts'
import { type ModelSource, openModel, resolveStageWeights } from '../weights/index.ts'
import type { BatchEntry } from './attention-plan.ts'

const directory = mkdtempSync(join(tmpdir(), 'deos-ranks-'))
let backend: Backend
beforeAll(() => {
  backend = Backend.open({ threads: 1, inline: true })
})
afterAll(() => {
  backend.close()
  rmSync(directory, { recursive: true, force: true })
})

/** Of the largest logit; where products round what they are given, another order of sums moves what is rounded. */
const tolerances: Partial<Record<TensorType, number>> = { F32: 1e-4, F16: 2e-3, Q8_0: 2e-2 }

interface Model {
  readonly source: ModelSource
  readonly type: TensorType
}

async function write(
  family: TinyFamily,
  config: TinyModelOptions['config'],
  type: TensorType,
): Promise<Model> {
  const path = mkdtempSync(join(directory, 'model-'))
  await writeTinyModel({ directory: path, family, seed: 7, config: { layers: 3, ...config } })
  return { source: await openModel(path), type }
}

async function load({ source, type }: Model, layers: LayerRange, split: StageSplit): Promise<RankGroup> {
  const { config } = source
  const weights = await resolveStageWeights({
    ...{ source, layers, type, cacheDir: join(directory, 'cache') },
    embedding: layers.first === 0,
    head: layers.end === config.layers,
  })
  return RankGroup.load(backend, {
    ...{ config, weights, layers, split, kvType: 'F32', pageCount: 64, maxBatchTokens: 128 },
  })
}

/** Chunks of a prompt beside decode steps, some without a wanted row. */
const batches: readonly (readonly BatchEntry[])[] = [
  [{ sequence: 0, count: 37, outputs: 'none' }],
  [
    { sequence: 1, count: 19, outputs: 'last' },
    { sequence: 0, count: 23, outputs: 'last' },
  ],
  [{ sequence: 0, count: 1, outputs: 'last' }],
  [
    { sequence: 0, count: 1, outputs: 'last' },
    { sequence: 1, count: 1, outputs: 'last' },
  ],
  [{ sequence: 1, count: 3, outputs: 'all' }],
  [
    { sequence: 1, count: 1, outputs: 'last' },
    { sequence: 0, count: 1, outputs: 'last' },
  ],
]

async function run(model: Model, splits: readonly { layers: LayerRange; split: StageSplit }[]) {
  const groups: RankGroup[] = []
  for (const { layers, split } of splits) groups.push(await load(model, layers, split))
  const results: Float32Array[] = []
  try {
    for (const group of groups) for (const sequence of [0, 1]) group.open(sequence)
    for (const [index, entries] of batches.entries()) {
      const count = entries.reduce((sum, entry) => sum + entry.count, 0)
      let output = await groups[0]!.forward({
        entries,
        tokens: randomTokens(index, count, model.source.config.vocabSize),
      })
      for (const group of groups.slice(1)) output = await group.forward({ entries, hidden: output.hidden })
      results.push(output.logits)
    }
    return results
  } finally {
    for (const group of groups) group.close()
  }
}

const everything = { first: 0, end: 3 }
const of = (split: Partial<StageSplit>): StageSplit => ({ ...unsplit, ...split })

async function compare(model: Model, splits: readonly { layers: LayerRange; split: StageSplit }[]) {
  const expected = await run(model, [{ layers: everything, split: unsplit }])
  const actual = await run(model, splits)
  for (const [index, logits] of expected.entries()) {
    expect(actual[index]).toHaveLength(logits.length)
    if (logits.length === 0) continue
    expect(relativeDifference(actual[index]!, logits), `batch ${index}`).toBeLessThan(tolerances[model.type]!)
  }
}

describe('tensors divided among ranks give the logits of one', () => {
  test.each([
    ['llama', { kvHeads: 4 }, [2, 3, 4]],
    ['llama', { tiedEmbeddings: true }, [2]],
    ['mistral', {}, [2]],
    ['qwen2', { heads: 8, kvHeads: 4 }, [2, 4]],
    ['qwen3', {}, [2]],
    ['gemma2', {}, [2]],
    ['gemma3_text', {}, [2]],
    ['phi3', { kvHeads: 4 }, [2, 4]],
    ['gpt_oss', {}, [2]],
    ['deepseek_v2', {}, [2]],
    ['deepseek_v3', {}, [2, 4]],
    ['llama4_text', {}, [2]],
  ] as const)('%s %j over %j', async (family, config, degrees) => {
    const model = await write(family, config, 'F32')
    for (const tensor of degrees) await compare(model, [{ layers: everything, split: of({ tensor }) }])
  })

  test.each(['F16', 'Q8_0'] as const)('with weights in %s', async (type) => {
    await compare(await write('llama', { kvHeads: 4, headDim: 32 }, type), [
      { layers: everything, split: of({ tensor: 2 }) },
    ])
  })

  test('in the middle of a pipeline', async () => {
    await compare(await write('qwen3', {}, 'F32'), [
      { layers: { first: 0, end: 1 }, split: of({ tensor: 2 }) },
      { layers: { first: 1, end: 2 }, split: unsplit },
      { layers: { first: 2, end: 3 }, split: of({ tensor: 2 }) },
    ])
  })

  test('each keeps K and V of its own heads only', async () => {
    const group = await load(await write('llama', { kvHeads: 4 }, 'F32'), everything, of({ tensor: 4 }))
    expect(group.stages.map(({ kv }) => kv.cellBytes)).toEqual(Array(4).fill({ k: 64, v: 64 }))
    group.close()
  })

  test('what cannot be divided is refused by name', async () => {
    const llama = await write('llama', {}, 'F32')
    await expect(load(llama, everything, of({ tensor: 4 }))).rejects.toThrow(RankSplitError)
    await expect(load(llama, everything, of({ tensor: 4 }))).rejects.toThrow('2 KV heads')
    await expect(load(llama, everything, of({ experts: 2 }))).rejects.toThrow('has no experts')
    await expect(load(llama, everything, of({ tensor: 2.5 }))).rejects.toThrow('tensor is divided by 2.5')
    const blocks = await write('llama', { feedForwardSize: 64 * 3, kvHeads: 4, headDim: 32 }, 'Q8_0')
    await compare(blocks, [{ layers: everything, split: of({ tensor: 4 }) }])
    const coarse = await write('llama', { feedForwardSize: 64, kvHeads: 4, headDim: 32 }, 'Q8_0')
    await expect(load(coarse, everything, of({ tensor: 4 }))).rejects.toThrow('32 of them stay together')
  })
})

describe('experts divided among ranks give the logits of one', () => {
  test.each([
    ['mixtral', {}, [2, 3, 8]],
    ['qwen3_moe', {}, [2, 4]],
    ['gpt_oss', {}, [2]],
    ['llama4_text', {}, [2]],
    ['deepseek_v2', {}, [2]],
    ['deepseek_v3', {}, [4]],
  ] as const)('%s %j over %j', async (family, config, degrees) => {
    const model = await write(family, config, 'F32')
    for (const experts of degrees) await compare(model, [{ layers: everything, split: of({ experts }) }])
  })

  test('and heads as well', async () => {
    const model = await write('qwen3_moe', {}, 'F32')
    await compare(model, [{ layers: everything, split: of({ tensor: 2, experts: 2 }) }])
  })
})

describe('positions divided among ranks give the logits of one', () => {
  test.each([
    ['llama', {}, [2, 3, 4]],
    ['mistral', {}, [2]],
    ['qwen2', {}, [2]],
    ['gemma2', {}, [2]],
    ['gemma3_text', {}, [2]],
    ['gpt_oss', {}, [2]],
    ['llama4_text', {}, [2]],
    ['deepseek_v2', {}, [2, 3]],
    ['deepseek_v3', {}, [2]],
  ] as const)('%s %j over %j', async (family, config, degrees) => {
    const model = await write(family, config, 'F32')
    for (const context of degrees) await compare(model, [{ layers: everything, split: of({ context }) }])
  })

  test('with heads and experts as well, in a pipeline', async () => {
    const model = await write('qwen3_moe', {}, 'F32')
    await compare(model, [
      { layers: { first: 0, end: 2 }, split: of({ context: 2, tensor: 2 }) },
      { layers: { first: 2, end: 3 }, split: of({ context: 2, experts: 2 }) },
    ])
  })

  test('each stores its own pages only', async () => {
    const model = await write('llama', {}, 'F32')
    const group = await load(model, everything, of({ context: 4 }))
    // Of 64 pages a quarter and the spare one.
    expect(group.stages.map(({ kv }) => kv.contextPages?.cells)).toEqual(Array(4).fill(17 * 16))
    group.close()
  })
})
