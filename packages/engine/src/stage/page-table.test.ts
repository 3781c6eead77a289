import { seededRandom } from '@deos/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { OutOfPagesError, PageTable } from './page-table.ts'
import { PooledSequences } from './pooled-sequences.ts'

test('neighbouring pages make one run, scattered ones several', () => {
  const table = new PageTable(64, 16)
  table.open(1)
  table.attach(1, [4, 5])
  table.attach(1, [6, 2, 3])
  table.append(1, 70)
  expect(table.runs(1, 0, 70)).toEqual([
    { cell: 64, position: 0, length: 48 },
    { cell: 32, position: 48, length: 22 },
  ])
  expect(table.runs(1, 20, 50)).toEqual([
    { cell: 84, position: 20, length: 28 },
    { cell: 32, position: 48, length: 2 },
  ])
  expect(table.runs(1, 50, 50)).toEqual([])
  expect([table.cell(1, 0), table.cell(1, 69)]).toEqual([64, 32 + 21])
  expect(table.freePages).toBe(59)
})

test('positions beyond the attached pages are refused without a change', () => {
  const table = new PageTable(4, 16)
  table.open(1, [0, 1], 16)
  expect(() => table.append(1, 17)).toThrow(OutOfPagesError)
  expect(() => table.append(1, 17)).toThrow(/needs 1 more pages and has 2 free/)
  expect(table.length(1)).toBe(16)
  table.append(1, 16)
  expect(table.length(1)).toBe(32)
})

test('full pages are shared, and whoever would write to one is refused', () => {
  const table = new PageTable(8, 16)
  table.open(1, [0, 1])
  table.append(1, 20)
  table.open(2, [0], 16)
  table.attach(2, [5])
  table.append(2, 3)
  table.verify()
  expect(table.freePages).toBe(5)
  expect(table.runs(2, 0, 19)).toEqual([
    { cell: 0, position: 0, length: 16 },
    { cell: 80, position: 16, length: 3 },
  ])
  table.truncate(2, 10)
  expect(() => table.append(2, 1)).toThrow(/would write to page 0, which it shares/)
  expect(() => table.verify()).toThrow(/shares page 0, which is not full/)
  table.release(1)
  table.append(2, 1)
  table.verify()
  expect(table.freePages).toBe(6)
})

test('trimming takes back the pages behind the last position', () => {
  const table = new PageTable(8, 16)
  table.open(5, [7, 2, 3, 4, 0])
  table.append(5, 70)
  table.truncate(5, 33)
  expect(table.freePages).toBe(3)
  expect(table.trim(5)).toEqual([4, 0])
  expect(table.freePages).toBe(5)
  expect(table.pages(5)).toEqual([7, 2, 3])
  expect(table.runs(5, 0, 33)).toEqual([
    { cell: 112, position: 0, length: 16 },
    { cell: 32, position: 16, length: 17 },
  ])
  table.attach(5, [4])
  table.append(5, 31)
  expect(table.runs(5, 16, 64)).toEqual([{ cell: 32, position: 16, length: 48 }])
  expect(() => table.truncate(5, 65)).toThrow(/cannot be cut/)
  table.verify()
})

test('unknown sequences, double opening, foreign positions and pages are refused', () => {
  const table = new PageTable(8, 16)
  table.open(1, [3])
  expect(() => table.open(1)).toThrow(/exists already/)
  expect(() => table.append(2, 1)).toThrow(/no sequence 2/)
  expect(() => table.cell(1, 0)).toThrow(/not position 0/)
  expect(() => table.runs(1, 0, 1)).toThrow(/not positions \[0, 1\)/)
  expect(() => table.open(-1)).toThrow(RangeError)
  expect(() => table.open(2, [0], 17)).toThrow(/cannot begin with 17 positions/)
  expect(() => table.attach(1, [4, 8])).toThrow(/no page 8/)
  expect(() => table.attach(1, [4, 3])).toThrow(/Page 3 appears twice/)
  expect(() => table.attach(1, [4, 4])).toThrow(/Page 4 appears twice/)
  expect(table.pages(1)).toEqual([3])
  expect(table.has(2)).toBe(false)
})

test('pooled sequences hold what their length needs, alike in every table', () => {
  const tables = [new PageTable(4, 16), new PageTable(4, 16)]
  const sequences = new PooledSequences(tables)
  sequences.open(1)
  sequences.extend(1, 48)
  for (const table of tables) table.append(1, 48)
  expect(sequences.freePages).toBe(1)
  expect(() => sequences.extend(1, 17)).toThrow(OutOfPagesError)
  sequences.truncate(1, 16)
  expect(sequences.freePages).toBe(3)
  sequences.fork(2, 1, 16)
  sequences.extend(2, 1)
  expect(tables.map((table) => table.pages(2))).toEqual([
    [0, 1],
    [0, 1],
  ])
  expect(() => sequences.fork(3, 1, 8)).toThrow(/8 of 16 positions cannot be shared/)
  sequences.release(1)
  expect(sequences.freePages).toBe(2)
  sequences.clear()
  expect(sequences.freePages).toBe(4)
  expect(() => new PooledSequences([new PageTable(4, 16), new PageTable(4, 8)])).toThrow(/one size/)
})

test('pages are conserved, and cells shared only through forks, under random use', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (seed) => {
      const random = seededRandom(seed)
      const below = (n: number) => Math.floor(random.next() * n)
      const table = new PageTable(1 + below(60), 1 + below(20))
      const sequences = new PooledSequences([table])
      /** What each cell was last written with, and what each sequence believes to be at its positions. */
      const cells = new Map<number, number>()
      const texts = new Map<number, number[]>()
      for (let step = 0; step < 200; step += 1) {
        const sequence = below(8)
        const text = texts.get(sequence)
        const other = below(8)
        const action = below(5)
        if (!text) {
          const source = texts.get(other) ?? []
          const shared = Math.floor(below(source.length + 1) / table.pageTokens) * table.pageTokens
          if (shared > 0) sequences.fork(sequence, other, shared)
          else sequences.open(sequence)
          texts.set(sequence, source.slice(0, shared))
        } else if (action === 0) {
          sequences.release(sequence)
          texts.delete(sequence)
        } else if (action === 1) {
          // No further back than to a whole page, as a page that others share cannot be written again.
          const length = Math.ceil(below(text.length + 1) / table.pageTokens) * table.pageTokens
          sequences.truncate(sequence, Math.min(length, text.length))
          text.length = Math.min(length, text.length)
        } else {
          const count = below(50)
          try {
            sequences.extend(sequence, count)
          } catch (error) {
            if (!(error instanceof OutOfPagesError)) throw error
            continue
          }
          table.append(sequence, count)
          for (let index = 0; index < count; index += 1) {
            const value = step * 1000 + index
            cells.set(table.cell(sequence, text.length), value)
            text.push(value)
          }
        }
        table.verify()
        expect(sequences.freePages).toBe(table.freePages)
      }
      for (const [sequence, text] of texts) {
        const read: number[] = []
        for (const { cell, length } of table.runs(sequence, 0, text.length)) {
          for (let index = 0; index < length; index += 1) read.push(cells.get(cell + index)!)
        }
        expect(read).toEqual(text)
        expect(text.map((_, position) => cells.get(table.cell(sequence, position)))).toEqual(text)
      }
      sequences.clear()
      expect(table.freePages).toBe(table.pageCount)
    }),
    { numRuns: 60 },
  )
})
