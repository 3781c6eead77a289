import fc from 'fast-check'
import { expect, test } from 'vitest'
import { seededRandom } from './nondeterminism.ts'
import { PagePool } from './page-pool.ts'

test('a sequence grows to the right, the next one begins in the middle of the largest gap', () => {
  const pool = new PagePool(64)
  expect(pool.take(3)).toEqual([0, 1, 2])
  expect(pool.take(2, 2)).toEqual([3, 4])
  expect(pool.take(1)).toEqual([34]) // the gap is [5, 64)
  expect(pool.take(2, 4)).toEqual([5, 6])
  expect(pool.free).toBe(64 - 8)
})

test('what goes on from shared pages takes the free pages nearest to them', () => {
  const pool = new PagePool(6)
  const prefix = pool.take(2)!
  pool.retain(prefix)
  expect(pool.take(1, 1)).toEqual([2])
  expect(pool.take(1, 1)).toEqual([3])
  pool.release(prefix)
  expect(pool.free).toBe(2)
  pool.release(prefix)
  expect(pool.take(3, 3)).toEqual([4, 5, 1])
  expect(pool.take(1, 5)).toEqual([0])
})

test('a new sequence that takes many pages at once starts where they lie side by side', () => {
  const pool = new PagePool(20)
  pool.take(4)
  pool.take(2, 15)
  expect(pool.references(17)).toBe(1) // the gap is [4, 16)
  expect(pool.take(9)).toEqual([7, 8, 9, 10, 11, 12, 13, 14, 15])
})

test('taking more than is free takes nothing', () => {
  const pool = new PagePool(3)
  expect(pool.take(4)).toBeNull()
  expect(pool.free).toBe(3)
  expect(pool.take(3)).toEqual([0, 1, 2])
  expect(pool.take(1, 2)).toBeNull()
  expect(pool.take(0)).toEqual([])
})

test('free pages cannot be shared or released, and foreign ones do not exist', () => {
  const pool = new PagePool(3)
  pool.take(1)
  expect(() => pool.retain([0, 1])).toThrow(/Page 1 is free/)
  expect(pool.references(0)).toBe(1)
  expect(() => pool.release([2])).toThrow(/nobody holds/)
  expect(() => pool.references(3)).toThrow(/no page 3/)
  expect(() => pool.take(1, -1)).toThrow(/no page -1/)
  expect(() => pool.take(0.5)).toThrow(RangeError)
  expect(() => new PagePool(0)).toThrow(RangeError)
})

test('references are conserved under random use, and no page is handed out twice', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (seed) => {
      const random = seededRandom(seed)
      const below = (n: number) => Math.floor(random.next() * n)
      const pool = new PagePool(1 + below(40))
      const holders: (readonly number[])[] = []
      for (let step = 0; step < 150; step += 1) {
        const some = holders[below(holders.length)]
        const action = below(3)
        if (action === 0 && some) {
          pool.release(some)
          holders.splice(holders.indexOf(some), 1)
        } else if (action === 1 && some) {
          const shared = some.slice(0, below(some.length + 1))
          pool.retain(shared)
          holders.push(shared)
        } else {
          const held = new Set(holders.flat())
          const count = below(6)
          const pages = pool.take(count, some?.at(-1))
          expect(pages === null).toBe(count > pool.pageCount - held.size)
          expect(new Set(pages ?? []).size).toBe(pages?.length ?? 0)
          for (const page of pages ?? []) expect(held.has(page)).toBe(false)
          if (pages) holders.push(pages)
        }
        pool.verify()
        expect(pool.free).toBe(pool.pageCount - new Set(holders.flat()).size)
      }
      for (let page = 0; page < pool.pageCount; page += 1) {
        expect(pool.references(page)).toBe(holders.filter((pages) => pages.includes(page)).length)
      }
    }),
    { numRuns: 60 },
  )
})
