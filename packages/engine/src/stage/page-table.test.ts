import { seededRandom } from '@deos/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { OutOfPagesError, PageTable } from './page-table.ts'

test('a sequence grows through neighbouring pages', () => {
  const table = new PageTable(64, 16)
  table.allocate(1)
  table.append(1, 40)
  expect(table.freePages).toBe(61)
  expect(table.runs(1, 0, 40)).toEqual([{ cell: 0, position: 0, length: 40 }])
  table.allocate(2)
  table.append(2, 1)
  table.append(1, 100)
  expect(table.runs(1, 0, 140)).toHaveLength(1)
})

test('a full pool is refused without taking anything', () => {
  const table = new PageTable(4, 16)
  table.allocate(1)
  table.append(1, 48)
  table.allocate(2)
  expect(() => table.append(2, 17)).toThrow(OutOfPagesError)
  expect(table.freePages).toBe(1)
  expect(table.length(2)).toBe(0)
  table.append(2, 16)
  expect(table.freePages).toBe(0)
})

test('truncating frees whole pages and keeps the rest', () => {
  const table = new PageTable(8, 16)
  table.allocate(5)
  table.append(5, 70)
  table.truncate(5, 33)
  expect(table.freePages).toBe(5)
  expect(table.length(5)).toBe(33)
  expect(() => table.truncate(5, 34)).toThrow(/cannot be cut/)
})

test('unknown sequences, double allocation and foreign positions are refused', () => {
  const table = new PageTable(8, 16)
  table.allocate(1)
  expect(() => table.allocate(1)).toThrow(/exists already/)
  expect(() => table.append(2, 1)).toThrow(/no sequence 2/)
  expect(() => table.cell(1, 0)).toThrow(/not position 0/)
  expect(() => table.allocate(-1)).toThrow(RangeError)
})

test('pages are conserved and cells never shared under random use', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (seed) => {
      const random = seededRandom(seed)
      const below = (n: number) => Math.floor(random.next() * n)
      const table = new PageTable(1 + below(60), 1 + below(20))
      const live = new Set<number>()
      for (let step = 0; step < 200; step += 1) {
        const sequence = below(8)
        const action = below(4)
        if (!live.has(sequence)) {
          table.allocate(sequence)
          live.add(sequence)
        } else if (action === 0) {
          table.release(sequence)
          live.delete(sequence)
        } else if (action === 1) {
          table.truncate(sequence, below(table.length(sequence) + 1))
        } else {
          try {
            table.append(sequence, below(50))
          } catch (error) {
            if (!(error instanceof OutOfPagesError)) throw error
          }
        }
        table.verify()
      }
      const cells = [...live].flatMap((sequence) =>
        Array.from({ length: table.length(sequence) }, (_, position) => table.cell(sequence, position)),
      )
      expect(new Set(cells).size).toBe(cells.length)
      for (const sequence of live) table.release(sequence)
      expect(table.freePages).toBe(table.pageCount)
    }),
    { numRuns: 60 },
  )
})
