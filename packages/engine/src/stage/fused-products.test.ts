import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ModelConfig } from '@deos/domain'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import type { ModuleWeights } from '../lora/adapter-weights.ts'
import { randomTokens } from '../testing/parity/describe-parity.ts'
import { writeSyntheticModel } from '../testing/synthetic-model.ts'
import { openModel, type TensorInfo, type WeightType } from '../weights/index.ts'
import { Stage } from './stage.ts'
import { WeightStore } from './weight-store.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-fused-'))
let backend: Backend

beforeAll(() => {
  backend = Backend.open({ threads: 2 })
})
afterAll(() => {
  backend.close()
  rmSync(folder, { recursive: true, force: true })
})

const shape = {
  ...{ layers: 2, hiddenSize: 256, feedForwardSize: 768, heads: 4, kvHeads: 2, headDim: 64 },
  vocabSize: 512,
}

async function model(architecture: string, type: WeightType) {
  const path = join(folder, `${architecture}-${type}.gguf`)
  const config = await writeSyntheticModel({ path, type, architecture, shape })
  return { config, weights: [...(await openModel(path, { vocabulary: false })).tensors.values()] }
}

/** Matrices that are multiplied together with `attn_q` and with `ffn_up`. */
async function bundled(weights: readonly TensorInfo[]) {
  const store = await WeightStore.load(backend, weights, { headFromEmbedding: false })
  try {
    return ['attn_q', 'ffn_up'].map((matrix) =>
      store.bundle('blk.1', matrix)?.parts.map((part) => part.matrix),
    )
  } finally {
    store.close()
  }
}

/** An adapter that adds zero to what it changes: those products are computed one by one. */
function nothingAdded({ hiddenSize, heads, kvHeads, headDim, feedForwardSize }: ModelConfig) {
  const module = (rows: number): ModuleWeights => ({
    ...{ columns: hiddenSize, rows, rank: 1 },
    ...{ a: new Float32Array(hiddenSize).fill(0.1), b: new Float32Array(rows) },
  })
  return new Map([
    ['blk.0.attn_k', module(kvHeads * headDim)],
    ['blk.0.ffn_up', module(feedForwardSize)],
    ['blk.1.attn_q', module(heads * headDim)],
    ['blk.1.ffn_gate', module(feedForwardSize)],
  ])
}

/** Logits of a prompt and of steps of one and of two sequences after it. */
async function logits(stage: Stage, vocabSize: number, adapter: string | null): Promise<Float32Array[]> {
  const { pages } = stage.kv
  const results: Float32Array[] = []
  const sequences = [0, 1]
  for (const sequence of sequences) pages.open(sequence, [2 * sequence, 2 * sequence + 1])
  const run = async (rows: readonly (readonly [sequence: number, count: number])[]) => {
    const entries = rows.map(([sequence, count]) => ({ sequence, count, outputs: 'all' as const, adapter }))
    const count = rows.reduce((sum, [, own]) => sum + own, 0)
    const output = await stage.forward({ entries, tokens: randomTokens(results.length, count, vocabSize) })
    results.push(output.logits.slice())
  }
  await run([[0, 9]])
  await run([[0, 1]])
  await run([
    [0, 1],
    [1, 5],
  ])
  for (const sequence of sequences) pages.release(sequence)
  return results
}

describe.each<[string, WeightType]>([
  ['llama', 'F32'],
  ['llama', 'F16'],
  ['llama', 'Q8_0'],
  ['llama', 'Q4_0'],
  ['llama', 'Q4_K'],
  ['qwen2', 'Q8_0'],
  ['qwen2', 'Q4_K'],
  ['qwen3', 'F16'],
])('%s in %s', (architecture, type) => {
  test('the products of one vector are computed as one, and the result is the same bits', async () => {
    const { config, weights } = await model(architecture, type)
    expect(await bundled(weights)).toEqual([
      ['attn_q', 'attn_k', 'attn_v'],
      ['ffn_gate', 'ffn_up'],
    ])
    const stage = await Stage.load(backend, {
      ...{ config, weights, layers: { first: 0, end: config.layers }, embedding: true, head: true },
      ...{ kv: { type: 'F16', pageCount: 4, pageTokens: 16 }, maxBatchTokens: 16 },
    })
    try {
      stage.addAdapter('nothing', nothingAdded(config))
      const fused = await logits(stage, config.vocabSize, null)
      const apart = await logits(stage, config.vocabSize, 'nothing')
      expect(fused[0]!.every(Number.isFinite)).toBe(true)
      expect(fused).toEqual(apart)
    } finally {
      stage.close()
    }
  })
})

test('mapped matrices are bundled only where the file has them side by side, rearranged ones always', async () => {
  const swapped = (weights: readonly TensorInfo[]) =>
    weights.map((tensor) => {
      // K and V are of one size: exchanging gate's place with another layer's breaks its pair only.
      const twin = /^blk\.1\.ffn_gate/.test(tensor.name)
        ? weights.find(({ name }) => name === 'blk.0.ffn_gate.weight')!
        : tensor
      return { ...tensor, offset: twin.offset }
    })
  const mapped = await model('llama', 'F16')
  expect(await bundled(swapped(mapped.weights))).toEqual([['attn_q', 'attn_k', 'attn_v'], undefined])
  const repacked = await model('llama', 'Q4_K')
  expect(await bundled(swapped(repacked.weights))).toEqual([
    ['attn_q', 'attn_k', 'attn_v'],
    ['ffn_gate', 'ffn_up'],
  ])
})
