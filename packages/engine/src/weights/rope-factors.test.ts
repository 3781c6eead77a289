import { expect, test } from 'vitest'
import { tinyConfig } from '../testing/tiny-models.ts'
import { ropeFactors, yarnAttentionFactor } from './rope-factors.ts'

test('ropeFactors() of Llama 3.1: 29 dimensions as trained, 29 slowed 8 times, 6 between', () => {
  const factors = ropeFactors(
    tinyConfig('llama', {
      headDim: 128,
      ropeTheta: 500_000,
      ropeScaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContext: 8192 },
    }),
  )!
  // Wavelength of pair i is 2 pi 500000^(i/64): below 8192/4 up to i = 28, above 8192 from i = 35 on.
  expect(factors).toHaveLength(64)
  expect([...factors.slice(0, 29)]).toEqual(new Array(29).fill(1))
  expect([...factors.slice(35)]).toEqual(new Array(29).fill(8))
  // i = 30: wavelength 2948.3, smooth (8192/2948.3 - 1)/3 = 0.59285, 1/(0.40715/8 + 0.59285).
  expect(factors[30]).toBeCloseTo(1.5534, 3)
})

test('models without that scaling have none', () => {
  expect(ropeFactors(tinyConfig('llama'))).toBeNull()
  expect(ropeFactors(tinyConfig('llama', { ropeScaling: { type: 'linear', factor: 2 } }))).toBeNull()
})

test('yarnAttentionFactor()', () => {
  expect(yarnAttentionFactor(1)).toBe(1)
  expect(yarnAttentionFactor(4)).toBeCloseTo(1.13863, 5)
})
