import fc from 'fast-check'
import { expect, test } from 'vitest'
import { interquartileRange, measuredFigure, median, quantile, skippedFigure } from './contract.ts'

test.each([
  [[3], 3, 0],
  [[1, 3], 2, 1],
  [[5, 1, 3], 3, 2],
  [[4, 1, 2, 3], 2.5, 1.5],
])('median and interquartile range of %j', (values, middle, range) => {
  expect(median(values)).toBe(middle)
  expect(interquartileRange(values)).toBe(range)
})

test('quantiles rise and stay between the extremes', () => {
  const values = fc.array(fc.integer(), { minLength: 1 })
  fc.assert(
    fc.property(values, (sample) => {
      const [low, middle, high] = [0, 0.5, 1].map((fraction) => quantile(sample, fraction)) as [
        number,
        number,
        number,
      ]
      expect(low).toBe(Math.min(...sample))
      expect(high).toBe(Math.max(...sample))
      expect(middle).toBeGreaterThanOrEqual(low)
      expect(middle).toBeLessThanOrEqual(high)
    }),
  )
})

test('quantiles of nothing or of a broken measurement are refused', () => {
  expect(() => median([])).toThrow(RangeError)
  expect(() => median([1, Number.NaN])).toThrow('finite')
})

test('a figure passes at its bar, in its direction', () => {
  const terms = { id: 'x', unit: 'ratio', bar: 0.95 }
  expect(measuredFigure({ ...terms, better: 'higher', samples: [0.95] }).pass).toBe(true)
  expect(measuredFigure({ ...terms, better: 'higher', samples: [0.94] }).pass).toBe(false)
  expect(measuredFigure({ ...terms, better: 'lower', samples: [0.94] }).pass).toBe(true)
  expect(measuredFigure({ id: 'x', unit: 'ms', better: 'lower', samples: [1] }).pass).toBeNull()
})

test('a skipped figure keeps its bar and says why', () => {
  const figure = skippedFigure({ id: 'x', unit: 'ratio', better: 'higher', bar: 1, reason: 'no libllama' })
  expect(figure).toMatchObject({ value: null, spread: null, bar: 1, pass: null, n: 0, reason: 'no libllama' })
})
