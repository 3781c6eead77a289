import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import { randomTokens, relativeDifference, tinyParityModel } from '../testing/parity/describe-parity.ts'
import { Pipeline } from '../testing/parity/pipeline.ts'
import type { ModelSource } from '../weights/index.ts'
import { type BatchEntry, type KvType, kvPageBytes } from './index.ts'

/** The one cached vector of a position has 64 + 32 dimensions, whole blocks of the quantised types. */
const wide = {
  headDim: 48,
  ropeDim: 32,
  attentionScale: 1 / Math.sqrt(48),
  latentAttention: { queryRank: null, kvRank: 64, valueDim: 16 },
}
const folder = mkdtempSync(join(tmpdir(), 'deos-latent-'))
let backend: Backend
let source: ModelSource
const open: Pipeline[] = []

beforeAll(async () => {
  backend = Backend.open({ threads: 1 })
  source = await tinyParityModel({ family: 'deepseek_v2', config: { ...wide, layers: 3 } }).write(folder, 1)
})

afterAll(() => {
  for (const pipeline of open) pipeline.close()
  backend.close()
  rmSync(folder, { recursive: true, force: true })
})

async function load(kvType: KvType): Promise<Pipeline> {
  const pipeline = await Pipeline.load(backend, source, [], kvType)
  open.push(pipeline)
  pipeline.allocate(0)
  return pipeline
}

const last = (count: number): readonly BatchEntry[] => [{ sequence: 0, count, outputs: 'last' }]
const prompt = () => randomTokens(3, 40, source.config.vocabSize)

test('a page holds one vector per position', () => {
  expect(kvPageBytes(source.config, 3, { type: 'F16', pageTokens: 16 })).toBe(3 * 16 * 96 * 2)
})

/** Bounds are some five times what was measured: 7e-4 and 1.2e-2. */
test.each<[KvType, number]>([
  ['F16', 4e-3],
  ['Q8_0', 6e-2],
])('a cache in %s gives what one in F32 gives, nearly', async (kvType, tolerance) => {
  const [exact, rounded] = [await load('F32'), await load(kvType)]
  const expected = await exact.forward(last(40), prompt())
  const difference = relativeDifference(await rounded.forward(last(40), prompt()), expected)
  expect(difference).toBeLessThan(tolerance)
  expect(difference).toBeGreaterThan(0)
})

test('a prompt at once is the same as token by token', async () => {
  const [once, apart] = [await load('F32'), await load('F32')]
  const tokens = prompt()
  const expected = await once.forward(last(40), tokens)
  let logits = expected
  for (const token of tokens) logits = await apart.forward(last(1), Int32Array.of(token))
  expect(relativeDifference(logits, expected)).toBeLessThan(1e-4)
})
