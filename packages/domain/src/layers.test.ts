import fc from 'fast-check'
import { expect, test } from 'vitest'
import { balanceLayers, layerCount } from './layers.ts'

const even = (layers: number) => new Array<number>(layers).fill(1)

test('every layer is in exactly one range, and no range is empty', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: 1, maxLength: 12 }),
      fc.nat(90),
      (weights, extra) => {
        const layers = weights.length + extra
        const ranges = balanceLayers({ layers: even(layers), head: 0 }, weights)
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

const slowestStage = (
  ranges: readonly { first: number; end: number }[],
  head: number,
  speeds: readonly number[],
) =>
  Math.max(
    ...ranges.map((range, i) => (layerCount(range) + (i === ranges.length - 1 ? head : 0)) / speeds[i]!),
  )

test('the stage with the head gets fewer layers, a slow one too', () => {
  expect(balanceLayers({ layers: even(24), head: 2.7 }, [1, 1]).map(layerCount)).toEqual([13, 11])
  expect(balanceLayers({ layers: even(8), head: 1.4 }, [1, 0.6, 0.3, 0.5]).map(layerCount)).toEqual([
    4, 2, 1, 1,
  ])
  expect(balanceLayers({ layers: even(3), head: 100 }, [1, 1, 1]).map(layerCount)).toEqual([1, 1, 1])
})

test('no other cut has a faster slowest stage', () => {
  const cuts = (layers: number, stages: number): number[][] =>
    stages === 1
      ? [[layers]]
      : Array.from({ length: layers - stages + 1 }, (_, i) => i + 1).flatMap((count) =>
          cuts(layers - count, stages - 1).map((rest) => [count, ...rest]),
        )
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.1, max: 4, noNaN: true }), { minLength: 1, maxLength: 4 }),
      fc.nat(6),
      fc.double({ min: 0, max: 6, noNaN: true }),
      (speeds, extra, head) => {
        const layers = speeds.length + extra
        const ranges = balanceLayers({ layers: even(layers), head }, speeds)
        const best = Math.min(
          ...cuts(layers, speeds.length).map((counts) => {
            let first = 0
            return slowestStage(
              counts.map((count) => {
                first += count
                return { first: first - count, end: first }
              }),
              head,
              speeds,
            )
          }),
        )
        expect(slowestStage(ranges, head, speeds)).toBeCloseTo(best, 9)
        expect(ranges[0]!.first).toBe(0)
        expect(ranges.at(-1)!.end).toBe(layers)
      },
    ),
  )
})

test('layers that cost more count for more', () => {
  expect(balanceLayers({ layers: [1, 1, 1, 1, 4], head: 0 }, [1, 1]).map(layerCount)).toEqual([4, 1])
  expect(balanceLayers({ layers: [5, 1, 1, 1], head: 1 }, [1, 1]).map(layerCount)).toEqual([1, 3])
})

test('a balance of nothing is refused', () => {
  expect(() => balanceLayers({ layers: even(2), head: 0 }, [1, 1, 1])).toThrow(/cannot be cut into 3/)
  expect(() => balanceLayers({ layers: even(2), head: 0 }, [])).toThrow(RangeError)
  expect(() => balanceLayers({ layers: [1, 0], head: 0 }, [1])).toThrow(/must be positive/)
  expect(() => balanceLayers({ layers: even(2), head: 0 }, [1, 0])).toThrow(/must be positive/)
  expect(() => balanceLayers({ layers: even(2), head: 0 }, [1, Number.NaN])).toThrow(/must be positive/)
})
