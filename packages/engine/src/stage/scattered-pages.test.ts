import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import {
  type ParityModel,
  randomTokens,
  relativeDifference,
  tinyParityModel,
} from '../testing/parity/describe-parity.ts'
import { Pipeline } from '../testing/parity/pipeline.ts'
import { fillGathered, gatheredLength, planAttention } from './attention-plan.ts'
import type { BatchEntry, KvType } from './index.ts'
import { PageTable } from './page-table.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-scattered-'))
let backend: Backend
beforeAll(() => {
  backend = Backend.open({ threads: 1 })
})
afterAll(() => {
  backend.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Sums in another order, and what that may change about a rounding in the next layer. */
const tolerances = { F32: 1e-5, F16: 1e-3, Q8_0: 2e-3, Q4_0: 2e-2 }
const neighbours = [10, 11, 12, 13, 14, 15]
const scattered = [90, 3, 51, 24, 77, 38]
const latent = { headDim: 48, ropeDim: 32, latentAttention: { queryRank: null, kvRank: 64, valueDim: 16 } }

const cases: readonly (readonly [string, ParityModel, KvType])[] = [
  ['F16', tinyParityModel({ family: 'llama', config: { headDim: 64, layers: 3 } }), 'F16'],
  ['F32', tinyParityModel({ family: 'llama', config: { layers: 3 } }), 'F32'],
  ['Q8_0', tinyParityModel({ family: 'llama', config: { headDim: 64, layers: 3 } }), 'Q8_0'],
  ['Q4_0', tinyParityModel({ family: 'llama', config: { headDim: 32, layers: 3 } }), 'Q4_0'],
  ['F16 with a sliding window', tinyParityModel({ family: 'mistral', config: { layers: 3 } }), 'F16'],
  [
    'F16 of latent attention',
    tinyParityModel({ family: 'deepseek_v2', config: { ...latent, layers: 3 } }),
    'F16',
  ],
]

test.each(cases)(
  'a sequence in scattered pages is computed as one in neighbouring ones, %s',
  async (_, model, kvType) => {
    const source = await model.write(mkdtempSync(join(folder, 'model-')), 1)
    const run = async (pages: readonly number[]) => {
      const pipeline = await Pipeline.load(backend, source, [2], kvType)
      for (const stage of pipeline.stages) {
        stage.kv.pages.open(0, pages)
        stage.kv.pages.open(1, [60, 61, 62])
      }
      const tokens = randomTokens(1, 60, source.config.vocabSize)
      const entry = (sequence: number, count: number): BatchEntry => ({ sequence, count, outputs: 'last' })
      const logits = [await pipeline.forward([entry(0, 40)], tokens.slice(0, 40))]
      const together = [entry(1, 5), entry(0, 20)]
      logits.push(await pipeline.forward(together, Int32Array.of(1, 2, 3, 4, 5, ...tokens.slice(40))))
      for (let step = 0; step < 12; step += 1) {
        const next = randomTokens(10 + step, 2, source.config.vocabSize)
        logits.push(await pipeline.forward([entry(0, 1), entry(1, 1)], next))
      }
      pipeline.close()
      return logits
    }
    const [apart, expected] = [await run(scattered), await run(neighbours)]
    for (const [step, logits] of apart.entries()) {
      expect(relativeDifference(logits, expected[step]!), `step ${step}`).toBeLessThan(tolerances[kvType])
    }
  },
)

test('cells of a scattered sequence are listed in order of position and filled up with its own', () => {
  const table = new PageTable(100, 16)
  table.open(0, [4, 5, 6])
  table.open(1, [90, 3])
  table.open(2, [40, 10, 70])
  for (const [sequence, count] of [30, 20, 40].entries()) table.append(sequence, count)
  const batch = [0, 1, 2].map((sequence) => ({ sequence, count: 1, outputs: 'last' as const }))
  const plans = planAttention(table, batch, [null], true)
  expect(plans.map(({ spans }) => spans[0]!.gathered === null)).toEqual([true, false, false])
  expect(plans.map(({ spans }) => spans[0]!.cellCount)).toEqual([256, 128, 128])
  expect(gatheredLength(plans)).toBe(256)
  const list = new Int32Array(256)
  fillGathered(list, plans)
  const cells = (page: number, count: number) =>
    Array.from({ length: count }, (_, index) => page * 16 + index)
  expect([...list.slice(0, 21)]).toEqual([...cells(90, 16), ...cells(3, 4), 90 * 16])
  expect([...list.slice(128, 169)]).toEqual([...cells(40, 16), ...cells(10, 16), ...cells(70, 8), 40 * 16])
  expect(new Set(list.slice(169))).toEqual(new Set([40 * 16]))
  expect(planAttention(table, batch, [null]).every(({ spans }) => spans[0]!.gathered === null)).toBe(true)
})
