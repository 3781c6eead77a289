import { expect, test } from 'vitest'
import { steadyRate } from './steady-rate.ts'

test('the rate of the middle half, whatever came before and after', () => {
  const middle = Array.from({ length: 51 }, (_, index) => 1000 + 10 * index)
  const slow = Array.from({ length: 25 }, (_, index) => 20 * index)
  const late = Array.from({ length: 24 }, (_, index) => 2000 + 100 * index)
  expect(steadyRate([...late, ...middle, ...slow])).toBeCloseTo(100)
})
