import { seededRandom } from '@deos/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { searchPlacement } from '../index.ts'
import { fullyLinked, plainDevice, randomInstance } from '../testing.ts'
import { coverBound } from './cover-bound.ts'
import { flowBounds } from './flow-bounds.ts'

describe('coverBound()', () => {
  test('counts devices whole where the work of layers would divide them', () => {
    // Two devices with a layer each and one with both carry 1000 + 400; work alone would suffice for 1500.
    const rates = [1000, 400]
    const devices = ['a', 'b', 'c'].map((name) => ({ name, kind: 'k', tokensPerSecondByLayers: rates }))
    const instance = fullyLinked(2, devices)
    const { best } = flowBounds(instance)
    expect(best).toBeCloseTo(1500)
    const bound = coverBound(instance, best)
    expect(bound).toBeGreaterThanOrEqual(1400)
    expect(bound).toBeLessThan(1405)
    const found = searchPlacement(instance, { evaluations: 5000, random: seededRandom(1) })
    expect(found.tokensPerSecond).toBeCloseTo(1400)
    expect(found.upperBound).toBe(bound)
  })

  test('no placement found exceeds it, and it is never above the other bound', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 }), (seed) => {
        const instance = randomInstance(seededRandom(seed), 8)
        const { best } = flowBounds(instance)
        const bound = coverBound(instance, best)
        const found = searchPlacement(instance, { evaluations: 2000, random: seededRandom(1) })
        expect(bound).toBeLessThanOrEqual(best)
        expect(found.tokensPerSecond).toBeLessThanOrEqual(bound * (1 + 1e-9))
      }),
      { numRuns: 25, seed: 5 },
    )
  })

  test('leaves the other bound where there are too many kinds', () => {
    const devices = Array.from({ length: 20 }, (_, at) => plainDevice(`k${at}`, 100 + at, 3, at))
    expect(coverBound(fullyLinked(4, devices), 123)).toBe(123)
  })
})
