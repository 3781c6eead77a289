import { expect, test } from 'vitest'
import { expNonPositive } from './exponential.ts'

test('expNonPositive() agrees with Math.exp to 1e-12 over its whole range', () => {
  let worst = 0
  for (let x = 0; x > -60; x -= 0.000731)
    worst = Math.max(worst, Math.abs(expNonPositive(x) / Math.exp(x) - 1))
  expect(worst).toBeLessThan(1e-12)
})

test('expNonPositive() is exactly 1 at 0 and 0 far below', () => {
  expect(expNonPositive(0)).toBe(1)
  expect(expNonPositive(-61)).toBe(0)
  expect(expNonPositive(-1e30)).toBe(0)
})
