import fc from 'fast-check'
import { expect, test } from 'vitest'
import { layerCount, splitLayers } from './layers.ts'

test('layers follow the weights', () => {
  expect(splitLayers(8, [1, 0.8, 0.6, 0.9])).toEqual([
    { first: 0, end: 2 },
    { first: 2, end: 4 },
    { first: 4, end: 6 },
    { first: 6, end: 8 },
  ])
  expect(splitLayers(32, [3, 1]).map(layerCount)).toEqual([24, 8])
})

test('every layer is in exactly one range, and no range is empty', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: 1, maxLength: 12 }),
      fc.nat(90),
      (weights, extra) => {
        const layers = weights.length + extra
        const ranges = splitLayers(layers, weights)
        expect(ranges).toHaveLength(weights.length)
        let next = 0
        for (const range of ranges) {
          expect(range.first).toBe(next)
          expect(layerCount(range)).toBeGreaterThan(0)
          next = range.end
        }
        expect(next).toBe(layers)
      },
    ),
  )
})

test('more stages than layers, or a weight that is no share, is refused', () => {
  expect(() => splitLayers(2, [1, 1, 1])).toThrow(/cannot be cut into 3/)
  expect(() => splitLayers(2, [])).toThrow(RangeError)
  expect(() => splitLayers(2, [1, 0])).toThrow(/must be positive/)
  expect(() => splitLayers(2, [1, Number.NaN])).toThrow(/must be positive/)
})
