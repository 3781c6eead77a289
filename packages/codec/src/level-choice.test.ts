import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CodecInputError } from './errors.ts'
import { chooseLevels, type LevelOption } from './level-choice.ts'

const option = fc.record({ bytes: fc.integer({ min: 0, max: 50 }), harm: fc.integer({ min: 0, max: 50 }) })
const blocks = fc.array(fc.array(option, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 })

function leastHarm(all: readonly (readonly LevelOption[])[], budget: number): number {
  const [first, ...rest] = all
  if (first === undefined) return 0
  return Math.min(
    ...first.map(({ bytes, harm }) =>
      bytes > budget ? Number.POSITIVE_INFINITY : harm + leastHarm(rest, budget - bytes),
    ),
  )
}

test('keeps the budget, and is at most one step from the best of all combinations', () => {
  fc.assert(
    fc.property(blocks, fc.integer({ min: 0, max: 200 }), (all, budget) => {
      const smallest = all.reduce((sum, options) => sum + Math.min(...options.map(({ bytes }) => bytes)), 0)
      if (smallest > budget) {
        expect(() => chooseLevels(all, budget)).toThrow(CodecInputError)
        return
      }
      const choice = chooseLevels(all, budget)
      expect(choice.bytes).toBeLessThanOrEqual(budget)
      expect(choice.bytes).toBe(choice.options.reduce((sum, at, block) => sum + all[block]![at]!.bytes, 0))
      const best = leastHarm(all, budget)
      const step = Math.max(...all.map((options) => Math.max(...options.map(({ harm }) => harm))))
      expect(choice.harm).toBeGreaterThanOrEqual(best)
      expect(choice.harm).toBeLessThanOrEqual(best + step)
    }),
    { numRuns: 500 },
  )
})

test('bytes go first where they avoid most', () => {
  const all = [
    [
      { bytes: 10, harm: 9 },
      { bytes: 20, harm: 1 },
      { bytes: 15, harm: 8 },
    ],
    [
      { bytes: 10, harm: 3 },
      { bytes: 20, harm: 2 },
    ],
  ]
  expect(chooseLevels(all, 30)).toEqual({ options: [1, 0], bytes: 30, harm: 4 })
  expect(chooseLevels(all, 40)).toEqual({ options: [1, 1], bytes: 40, harm: 3 })
})

test('a block without options is refused', () => {
  expect(() => chooseLevels([[]], 10)).toThrow(/Block 0/)
})
