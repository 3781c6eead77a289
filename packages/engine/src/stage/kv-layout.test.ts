import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type KvLayerLayout, kvColumns, type ModelConfig, type RopeScaling } from '@deos/domain'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import { dequantizeRows } from '../ggml/quantize.ts'
import { tinyParityModel } from '../testing/parity/describe-parity.ts'
import { Pipeline } from '../testing/parity/pipeline.ts'
import type { TinyFamily } from '../testing/tiny-families.ts'
import type { Stage } from './index.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-layout-'))
let backend: Backend
beforeAll(() => {
  backend = Backend.open({ threads: 1 })
})
afterAll(() => {
  backend.close()
  rmSync(folder, { recursive: true, force: true })
})

const POSITIONS = 160
const pages = Array.from({ length: 12 }, (_, page) => page)

/** Turns keys back by their positions, in place; written from the description alone. */
function turnBack(keys: Float32Array, { key, rotation }: KvLayerLayout): void {
  if (rotation === null) return
  const { first, pairs, frequencies, magnitude } = rotation
  const columns = key.heads * key.dim
  for (let at = 0; at < keys.length; at += key.dim) {
    const position = Math.floor(at / columns)
    for (const [pair, frequency] of frequencies.entries()) {
      const one = at + first + (pairs === 'interleaved' ? 2 * pair : pair)
      const other = pairs === 'interleaved' ? one + 1 : one + frequencies.length
      const [cos, sin] = [Math.cos(position * frequency), Math.sin(position * frequency)]
      const [a, b] = [keys[one]! / magnitude, keys[other]! / magnitude]
      keys[one] = a * cos + b * sin
      keys[other] = b * cos - a * sin
    }
  }
}

function keysOf(stage: Stage, layer: number): Float32Array {
  const columns = kvColumns(stage.kvLayout(layer), 'key')
  const slice = {
    layer,
    part: 'key',
    pages,
    positions: { first: 0, end: POSITIONS },
    encoding: 'stored',
  } as const
  return dequantizeRows('F32', stage.readKv(slice), columns)
}

/** Largest difference between the key of any position and that of the first, over the largest value. */
function spread(keys: Float32Array, columns: number): number {
  let [difference, scale] = [0, 0]
  for (const [index, value] of keys.entries()) {
    difference = Math.max(difference, Math.abs(value - keys[index % columns]!))
    scale = Math.max(scale, Math.abs(value))
  }
  return difference / scale
}

const yarn: RopeScaling = {
  type: 'yarn',
  ...{ factor: 4, originalContext: 128, attentionFactor: 0.1 * Math.log(4) + 1, betaFast: 32, betaSlow: 1 },
}
const pairs = 6
const factors = {
  short: Array.from({ length: pairs }, (_, pair) => 1 + 0.1 * pair),
  long: Array.from({ length: pairs }, (_, pair) => 1 + 2 * pair),
}
const llama3 = {
  type: 'llama3',
  factor: 8,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalContext: 64,
} as const

/**
 * Keys of the first layer depend on token and position only, so those of one token again and again differ by their
 * rotation and nothing else. Later layers see only that token too, wherever they look.
 */
test.each<[string, TinyFamily, Partial<Omit<ModelConfig, 'architecture'>>]>([
  ['pairs side by side', 'llama', {}],
  ['pairs in halves', 'qwen3', {}],
  ['scaled linearly', 'llama', { ropeScaling: { type: 'linear', factor: 4 } }],
  ['scaled as in Llama 3', 'llama', { ropeScaling: llama3 }],
  ['scaled by YaRN', 'qwen3', { ropeScaling: yarn }],
  [
    '12 of 16 dimensions, LongRoPE',
    'phi3',
    {
      ropeDim: 2 * pairs,
      ropeScaling: { type: 'longrope', factors, originalContext: 128, attentionFactor: 1.19 },
    },
  ],
  ['another base in windowed layers', 'gemma3_text', {}],
  ['layers without rotation', 'llama4_text', {}],
  ['one rotated part beside a latent vector', 'deepseek_v2', {}],
  ['sinks, which let later layers tell positions', 'gpt_oss', {}],
])('keys can be turned back: %s', async (_, family, config) => {
  const source = await tinyParityModel({ family, config }).write(mkdtempSync(join(folder, 'model-')), 1)
  const pipeline = await Pipeline.load(backend, source, [3], 'F32')
  for (const { kv } of pipeline.stages) kv.pages.open(0, pages)
  await pipeline.forward(
    [{ sequence: 0, count: POSITIONS, outputs: 'last' }],
    new Int32Array(POSITIONS).fill(7),
  )
  const layers = family === 'gpt_oss' ? 1 : source.config.layers
  for (let layer = 0; layer < layers; layer += 1) {
    const stage = pipeline.stages[layer < 3 ? 0 : 1]!
    const layout = stage.kvLayout(layer)
    const keys = keysOf(stage, layer)
    const columns = kvColumns(layout, 'key')
    if (layout.rotation !== null)
      expect(spread(keys, columns), `layer ${layer} as it is`).toBeGreaterThan(0.1)
    turnBack(keys, layout)
    expect(spread(keys, columns), `layer ${layer} turned back`).toBeLessThan(2e-4)
  }
  pipeline.close()
})

test('says what windows, latent vectors and layers without rotation are', async () => {
  const layoutsOf = async (family: TinyFamily) => {
    const source = await tinyParityModel({ family }).write(mkdtempSync(join(folder, 'model-')), 1)
    const pipeline = await Pipeline.load(backend, source)
    const layouts = [0, 1, 2, 3].map((layer) => pipeline.stages[0]!.kvLayout(layer))
    pipeline.close()
    return layouts
  }
  const gemma = await layoutsOf('gemma3_text')
  expect(gemma.map(({ reach }) => reach?.size ?? null)).toEqual([16, 16, null, 16])
  expect(gemma[0]!.rotation!.frequencies[1]).toBeCloseTo(10_000 ** (-2 / 64), 6)
  expect(gemma[2]!.rotation!.frequencies[1]).toBeCloseTo(1_000_000 ** (-2 / 64), 6)
  const [latent] = await layoutsOf('deepseek_v2')
  expect(latent).toMatchObject({ key: { heads: 1, dim: 40 }, value: null, valueDimsInKey: 32 })
  expect(latent!.rotation).toMatchObject({ first: 32, pairs: 'interleaved' })
  const llama4 = await layoutsOf('llama4_text')
  expect(llama4.map(({ rotation }) => rotation !== null)).toEqual([true, true, true, false])
  expect(JSON.parse(JSON.stringify(llama4))).toEqual(llama4)
})
