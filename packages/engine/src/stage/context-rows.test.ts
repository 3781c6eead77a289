import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ContextPages } from './context-pages.ts'
import { contextRows, pickRows, placeRows } from './context-rows.ts'
import { PageTable } from './page-table.ts'

const PAGES = 24
const PAGE_TOKENS = 4

/** Two sequences in any pages, each somewhere in its text. */
const world = fc.record({
  order: fc.shuffledSubarray([...Array(PAGES).keys()], { minLength: PAGES }),
  ranks: fc.integer({ min: 2, max: 4 }),
  lengths: fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 })),
  counts: fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 })),
})

test('every position lies in one cell of one rank, and every row is computed there', () => {
  fc.assert(
    fc.property(world, ({ order, ranks, lengths, counts }) => {
      const table = new PageTable(PAGES, PAGE_TOKENS)
      table.open(0, order.slice(0, 12), lengths[0])
      table.open(1, order.slice(12), lengths[1])
      const entries = [0, 1].map((sequence) => ({
        sequence,
        count: Math.min(counts[sequence]!, lengths[sequence]!),
        outputs: sequence === 0 ? ('last' as const) : ('none' as const),
      }))
      const total = entries.reduce((sum, { count }) => sum + count, 0)
      const found: number[] = []
      for (let index = 0; index < ranks; index += 1) {
        const pages = new ContextPages(table, index, ranks)
        const rows = contextRows(pages, entries, index, ranks)
        const own = rows.byRank[index]!
        found.push(...own)
        expect(rows.total).toBe(total)
        expect(rows.outputs).toEqual([entries[0]!.count - 1])
        expect(rows.computed.length).toBeGreaterThan(0)
        expect(new Set(rows.cells).size).toBe(rows.cells.length)
        expect(rows.cells.every((cell) => cell < pages.cells)).toBe(true)
        if (own.length === 0) expect(rows.cells).toEqual([pages.spareCell])
        else expect(rows.cells).not.toContain(pages.spareCell)
      }
      expect(found.toSorted((a, b) => a - b)).toEqual([...Array(total).keys()])
      for (const [sequence, length] of lengths.entries()) {
        const positions = Array.from({ length: ranks }, (_, index) =>
          new ContextPages(table, index, ranks)
            .runs(sequence, 0, length)
            .flatMap((run) => Array.from({ length: run.length }, (_, at) => run.position + at)),
        ).flat()
        expect(positions.toSorted((a, b) => a - b)).toEqual([...Array(length).keys()])
      }
    }),
  )
})

test('rows come back to where they were taken from', () => {
  const all = Float32Array.from({ length: 10 }, (_, index) => index)
  const byRank = [[0, 3], [], [1, 2, 4]]
  const parts = byRank.map((rows) => pickRows(all, rows, 2))
  expect(placeRows({ total: 5, byRank }, parts, 2)).toEqual(all)
})
