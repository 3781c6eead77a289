import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KvBlockSet, KvBlockSetError } from './block-set.ts'

/** Sets with long ranges, as inventories have, and sets without. */
const sizeAndMembers = fc.integer({ min: 0, max: 600 }).chain((size) =>
  fc.tuple(
    fc.constant(size),
    fc.oneof(
      fc.uniqueArray(fc.nat(Math.max(0, size - 1)), { maxLength: size }),
      fc
        .array(fc.tuple(fc.nat(size), fc.nat(size)), { maxLength: 3 })
        .map((ranges) =>
          Array.from({ length: size }, (_, index) => index).filter((index) =>
            ranges.some(([from, to]) => index >= from && index < to),
          ),
        ),
    ),
  ),
)

test('sets survive being written, in no more bytes than their bits take', () => {
  fc.assert(
    fc.property(sizeAndMembers, ([size, members]) => {
      const set = KvBlockSet.where(size, (index) => members.includes(index))
      const bytes = set.encode()
      expect(bytes.length).toBeLessThanOrEqual(1 + Math.ceil(size / 8))
      const read = KvBlockSet.decode(size, bytes)
      expect(read.count).toBe(set.count)
      for (let index = -1; index <= size; index += 1) expect(read.has(index)).toBe(set.has(index))
    }),
  )
})

test('a prompt of which a beginning is missing takes a few bytes', () => {
  const set = KvBlockSet.where(100_000, (index) => index >= 70_000)
  expect(set.encode().length).toBeLessThan(10)
  expect([set.prefix, KvBlockSet.where(9, (index) => index !== 4).prefix]).toEqual([0, 4])
})

test('whatever comes is a set of blocks there are, or refused', () => {
  fc.assert(
    fc.property(fc.nat(100), fc.uint8Array({ maxLength: 20 }), (size, bytes) => {
      try {
        expect(KvBlockSet.decode(size, bytes).count).toBeLessThanOrEqual(size)
      } catch (error) {
        expect(error).toBeInstanceOf(KvBlockSetError)
      }
    }),
    { numRuns: 1_000 },
  )
})

test.each<[string, number[], RegExp]>([
  ['nothing', [], /begins with nothing/],
  ['another kind', [7], /begins with 7/],
  ['too few bits', [0], /0 bytes for 9 blocks/],
  ['bits beyond the end', [0, 0, 2], /beyond 9 blocks/],
  ['ranges beyond the end', [1, 5, 5], /beyond 9 blocks/],
  ['half a number', [1, 0x80], /inside a number/],
  ['an endless number', [1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0], /inside a number/],
])('%s is refused', (_, bytes, message) => {
  expect(() => KvBlockSet.decode(9, Uint8Array.from(bytes))).toThrow(message)
})
