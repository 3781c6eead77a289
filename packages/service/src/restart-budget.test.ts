import { expect, test } from 'vitest'
import { RestartBudget } from './restart-budget.ts'

const limits = { restarts: 3, windowMs: 1000, firstDelayMs: 100, longestDelayMs: 300 }

test('delays double up to the longest, then there is no further start', () => {
  const budget = new RestartBudget(limits)
  expect([0, 1, 2, 3].map((nowMs) => budget.ended(nowMs))).toEqual([100, 200, 300, null])
})

test('ends outside the window are forgotten', () => {
  const budget = new RestartBudget(limits)
  expect([0, 10, 20].map((nowMs) => budget.ended(nowMs))).toEqual([100, 200, 300])
  expect(budget.ended(1015)).toBe(200)
  expect(budget.ended(3000)).toBe(100)
})
