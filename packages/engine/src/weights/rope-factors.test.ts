import { expect, test } from 'vitest'
import { tinyConfig } from '../testing/tiny-models.ts'
import { longRopeAttentionFactor, ropeFactors, scaledRopeTheta, yarnAttentionFactor } from './rope-factors.ts'

test('ropeFactors() of Llama 3.1: 29 dimensions as trained, 29 slowed 8 times, 6 between', () => {
  const factors = ropeFactors(
    tinyConfig('llama', {
      headDim: 128,
      ropeTheta: 500_000,
      ropeScaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContext: 8192 },
    }),
  ).get('rope_freqs.weight')!
  // Wavelength of pair i is 2 pi 500000^(i/64): below 8192/4 up to i = 28, above 8192 from i = 35 on.
  expect(factors).toHaveLength(64)
  expect([...factors.slice(0, 29)]).toEqual(new Array(29).fill(1))
  expect([...factors.slice(35)]).toEqual(new Array(29).fill(8))
  // i = 30: wavelength 2948.3, smooth (8192/2948.3 - 1)/3 = 0.59285, 1/(0.40715/8 + 0.59285).
  expect(factors[30]).toBeCloseTo(1.5534, 3)
})

test('models without that scaling have none', () => {
  expect(ropeFactors(tinyConfig('llama')).size).toBe(0)
  expect(ropeFactors(tinyConfig('llama', { ropeScaling: { type: 'linear', factor: 2 } })).size).toBe(0)
})

test('ropeFactors() of LongRoPE are those of its config', () => {
  const factors = { short: [1, 1.5], long: [1, 4] }
  const ropeScaling = { type: 'longrope', factors, originalContext: 64, attentionFactor: 1 } as const
  expect(ropeFactors(tinyConfig('phi3', { ropeDim: 4, ropeScaling }))).toEqual(
    new Map([
      ['rope_factors_long.weight', Float32Array.of(1, 4)],
      ['rope_factors_short.weight', Float32Array.of(1, 1.5)],
    ]),
  )
  // As tensors of a GGUF file they are there already.
  const stored = { ...ropeScaling, factors: null }
  expect(ropeFactors(tinyConfig('phi3', { ropeScaling: stored })).size).toBe(0)
})

test('scaledRopeTheta() grows for texts longer than the training, by dynamic NTK scaling only', () => {
  const dynamic = (contextLength: number) =>
    scaledRopeTheta(
      tinyConfig('llama', {
        ...{ headDim: 128, ropeTheta: 10_000, contextLength },
        ropeScaling: { type: 'dynamic', factor: 2, originalContext: 2048 },
      }),
    )
  expect(dynamic(2048)).toBe(10_000)
  // 2 * 4096 / 2048 - (2 - 1) = 3, and 10000 * 3^(128 / 126).
  expect(dynamic(4096)).toBeCloseTo(30_527.7, 1)
  expect(scaledRopeTheta(tinyConfig('llama', { ropeScaling: { type: 'linear', factor: 2 } }))).toBe(10_000)
})

test('longRopeAttentionFactor()', () => {
  expect(longRopeAttentionFactor(1, 4096)).toBe(1)
  // Phi-3-mini-128k: sqrt(1 + ln 32 / ln 4096), and ln 32 / ln 4096 = 5 / 12.
  expect(longRopeAttentionFactor(32, 4096)).toBeCloseTo(Math.sqrt(17 / 12), 12)
})

test('yarnAttentionFactor()', () => {
  expect(yarnAttentionFactor(1)).toBe(1)
  expect(yarnAttentionFactor(4)).toBeCloseTo(1.13863, 5)
})
