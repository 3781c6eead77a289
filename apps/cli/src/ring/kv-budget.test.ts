import type { ModelConfig } from '@deos/domain'
import { chooseKvType } from '@deos/engine/kv-type'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { UsageError } from '../cli-error.ts'
import { smallModel } from '../testing/small-model.ts'
import { type KvBudgetRequest, planKvBudget } from './kv-budget.ts'

// 2 (K and V) · 4 KV heads · 32 dims · 4 bytes.
const LAYER_BYTES = 1024

const request = (over: Partial<KvBudgetRequest> = {}): KvBudgetRequest => ({
  config: smallModel,
  kvType: 'F32',
  shares: [
    { layers: 3, memory: 1.5 },
    { layers: 5, memory: 1 },
  ],
  contextLength: null,
  totalBytes: null,
  spareBytes: 2 ** 30,
  ...over,
})

test('by default the least worker holds sixteen contexts, the others more by their memory', () => {
  const budget = planKvBudget(request())
  expect(budget).toEqual({
    contextLength: 1024,
    poolTokens: 16 * 1024,
    workerBytes: [24 * 1024 * 3 * LAYER_BYTES, 16 * 1024 * 5 * LAYER_BYTES],
  })
})

test('the default stays within spare memory, and shortens the context if it must', () => {
  // 9.5 KiB a token over both workers.
  const budget = planKvBudget(request({ spareBytes: 600 * 9.5 * LAYER_BYTES }))
  expect(budget.poolTokens).toBe(512)
  expect(budget.contextLength).toBe(512)
})

test('memory that does not hold the context asked for is refused with what would be enough', () => {
  const tight = request({ contextLength: 512, totalBytes: 2 ** 20 })
  expect(() => planKvBudget(tight)).toThrow(UsageError)
  expect(() => planKvBudget(tight)).toThrow(
    '1 MiB of KV memory hold 0 tokens; a context of 512 needs 4.75 MiB.',
  )
  const enough = planKvBudget({ ...tight, totalBytes: 4.75 * 2 ** 20 })
  expect(enough).toMatchObject({ contextLength: 512, poolTokens: 512 })
})

test('a context beyond the model is refused', () => {
  expect(() => planKvBudget(request({ contextLength: 1025 }))).toThrow(
    '--context 1025 exceeds the 1024 positions of small.',
  )
})

test('heads that do not fill vectors of 64 get F32', () => {
  expect(chooseKvType('auto', 32)).toBe('F32')
  expect(chooseKvType('auto', 128)).toBe('F16')
  expect(chooseKvType('F16', 32)).toBe('F16')
})

test('a budget given in bytes is never exceeded, and every worker holds whole buckets', () => {
  const config: ModelConfig = { ...smallModel, contextLength: 65_536 }
  const share = fc.record({
    layers: fc.integer({ min: 1, max: 8 }),
    memory: fc.constantFrom(1, 1.25, 1.5, 2),
  })
  fc.assert(
    fc.property(
      fc.array(share, { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 2 ** 25, max: 2 ** 32 }),
      (shares, totalBytes) => {
        const { workerBytes, poolTokens } = planKvBudget(request({ config, shares, totalBytes }))
        expect(workerBytes.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(totalBytes)
        for (const [index, { layers, memory }] of shares.entries()) {
          const tokens = workerBytes[index]! / (layers * LAYER_BYTES)
          expect(tokens % 256).toBe(0)
          expect(tokens).toBeGreaterThanOrEqual(memory >= 1 ? poolTokens : 0)
        }
      },
    ),
  )
})
