import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RankSplitError, rankCount, rankPlace, shareOf } from './stage-split.ts'

const degree = fc.integer({ min: 1, max: 4 })
const split = fc.record({ tensor: degree, experts: degree, context: degree })

test('groups are the same for all their members, and divide all ranks', () => {
  fc.assert(
    fc.property(split, (degrees) => {
      const places = Array.from({ length: rankCount(degrees) }, (_, rank) => rankPlace(degrees, rank))
      for (const name of ['attentionGroup', 'feedForwardGroup', 'contextGroup'] as const) {
        for (const { rank, [name]: group } of places) {
          expect(group).toContain(rank)
          for (const member of group) expect(places[member]![name]).toEqual(group)
        }
      }
      for (const { attentionGroup, feedForwardGroup, contextGroup, ...place } of places) {
        expect(attentionGroup[place.tensor]).toBe(place.rank)
        expect(feedForwardGroup[place.feedForward]).toBe(place.rank)
        expect(contextGroup[place.context]).toBe(place.rank)
        const sizes = [attentionGroup.length, feedForwardGroup.length, contextGroup.length]
        expect(sizes).toEqual([degrees.tensor, degrees.tensor * degrees.experts, degrees.context])
      }
    }),
  )
})

test('shares follow one another, end between units, and differ by one at most', () => {
  const small = fc.integer({ min: 1, max: 12 })
  fc.assert(
    fc.property(small, small, small, (units, unit, parts) => {
      const share = (index: number) => shareOf('columns', units * unit, unit, parts, index)
      if (units < parts) {
        expect(() => share(0)).toThrow(RankSplitError)
        return
      }
      let next = 0
      for (let index = 0; index < parts; index += 1) {
        const { first, end } = share(index)
        expect(first).toBe(next)
        expect((end - first) % unit).toBe(0)
        expect(Math.abs((end - first) / unit - units / parts)).toBeLessThan(1)
        next = end
      }
      expect(next).toBe(units * unit)
    }),
  )
})

test.each([
  [{ tensor: 2, experts: 1, context: 1 }, 2, 'no rank 2 of 2'],
  [{ tensor: 1, experts: 0, context: 1 }, 0, 'experts is divided by 0'],
] as const)('%j has no rank %i', (degrees, rank, problem) => {
  expect(() => rankPlace(degrees, rank)).toThrow(problem)
})
