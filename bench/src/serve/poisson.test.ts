import { seededRandom } from '@deos/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { poissonArrivals } from './poisson.ts'

const gaps = (arrivalsMs: readonly number[]) => arrivalsMs.slice(1).map((ms, i) => ms - arrivalsMs[i]!)

test('arrivals have the rate asked for, and the spread of a Poisson process', () => {
  const arrivals = poissonArrivals({ count: 20_001, ratePerSecond: 50, random: seededRandom(1) })
  const between = gaps(arrivals)
  const mean = between.reduce((sum, ms) => sum + ms, 0) / between.length
  const variance = between.reduce((sum, ms) => sum + (ms - mean) ** 2, 0) / between.length
  expect(mean).toBeGreaterThan(19.4)
  expect(mean).toBeLessThan(20.6)
  // The standard deviation of an exponential distribution is its mean.
  expect(Math.sqrt(variance) / mean).toBeGreaterThan(0.96)
  expect(Math.sqrt(variance) / mean).toBeLessThan(1.04)
})

test('arrivals begin at 0, never go back, and follow from the seed', () => {
  fc.assert(
    fc.property(
      fc.integer(),
      fc.integer({ min: 0, max: 50 }),
      fc.double({ min: 0.01, max: 1e4, noNaN: true }),
      (seed, count, ratePerSecond) => {
        const arrivals = poissonArrivals({ count, ratePerSecond, random: seededRandom(seed) })
        expect(arrivals).toHaveLength(count)
        if (count > 0) expect(arrivals[0]).toBe(0)
        expect(gaps(arrivals).every((ms) => ms >= 0 && Number.isFinite(ms))).toBe(true)
        expect(poissonArrivals({ count, ratePerSecond, random: seededRandom(seed) })).toEqual(arrivals)
      },
    ),
  )
})

test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('a rate of %d is refused', (ratePerSecond) => {
  expect(() => poissonArrivals({ count: 3, ratePerSecond, random: seededRandom(1) })).toThrow(RangeError)
})
