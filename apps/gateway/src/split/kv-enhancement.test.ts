import type { LevelCost } from '@deos/codec'
import { expect, test } from 'vitest'
import { chooseEnhancement } from './kv-enhancement.ts'

/** Two layers alike. */
const cost = (level: number, bytesPerToken: number, harm: number): LevelCost => ({
  level,
  layers: Array.from({ length: 2 }, () => ({ bytesPerToken, harm })),
})
const costs = [cost(0, 300, 0), cost(1, 200, 1e-6), cost(2, 100, 4e-4), cost(3, 60, 1e-4), cost(4, 30, 1e-3)]
const wish = (budgetBytes: number) => ({ tokens: 10, budgetBytes })

test('what leaves next to nothing of the harm and takes fewest bytes is taken', () => {
  expect(chooseEnhancement(costs, [4, 4], wish(1e6))).toEqual({ level: 1, bytes: 4_000 })
})

test('what nobody could see counts as none, however little there was', () => {
  expect(chooseEnhancement([...costs, cost(5, 20, 2e-5)], [5, 5], wish(1e6))).toEqual({
    level: 1,
    bytes: 4_000,
  })
})

test('layers that came as well already do not come again', () => {
  expect(chooseEnhancement(costs, [0, 4], wish(1e6))).toEqual({ level: 1, bytes: 2_000 })
  // Without loss is the only better one of the finest that has any.
  expect(chooseEnhancement(costs, [1, 0], wish(1e6))).toEqual({ level: 0, bytes: 3_000 })
})

test('a narrow link gets what it can carry in time, if that is much better, or nothing', () => {
  expect(chooseEnhancement(costs, [4, 4], wish(3_999))).toEqual({ level: 3, bytes: 1_200 })
  expect(chooseEnhancement(costs, [4, 4], wish(1_199))).toBeNull()
  // From the finest step, four bits would be worse and another step is not there.
  expect(chooseEnhancement(costs, [3, 3], wish(3_999))).toBeNull()
  expect(chooseEnhancement(costs, [4, 4], wish(0))).toBeNull()
})

test('what came without loss is not refined', () => {
  expect(chooseEnhancement(costs, [0, 0], wish(1e6))).toBeNull()
})
