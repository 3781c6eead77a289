import { expect, test } from 'vitest'
import { fillMask, layerReaches, maskLength, planAttention, planShape, type Reach } from './attention-plan.ts'
import { PageTable } from './page-table.ts'
import { PooledSequences } from './pooled-sequences.ts'

/** Begins the sequence if there is none, and makes it `count` positions longer. */
function grow(table: PageTable, pool: PooledSequences, sequence: number, count: number): void {
  if (!table.has(sequence)) pool.open(sequence)
  pool.extend(sequence, count)
  table.append(sequence, count)
}

function visible(table: PageTable, sequence: number, count: number, reach: Reach): boolean[][] {
  const plans = planAttention(table, [{ sequence, count, outputs: 'none' }], [reach])
  const span = plans[0]!.spans[0]!
  const mask = new Uint16Array(count * span.cellCount)
  fillMask(mask, plans, [reach])
  return Array.from({ length: count }, (_, row) =>
    Array.from({ length: table.length(sequence) }, (_, position) => {
      const cell = table.cell(sequence, position) - span.cellStart
      return cell >= 0 && cell < span.cellCount && mask[row * span.cellCount + cell] === 0
    }),
  )
}

test('a chunk sees its past and itself, not its future', () => {
  const table = new PageTable(32, 16)
  const pool = new PooledSequences([table])
  grow(table, pool, 0, 5)
  expect(visible(table, 0, 3, null)).toEqual([
    [true, true, true, false, false],
    [true, true, true, true, false],
    [true, true, true, true, true],
  ])
})

test('a window of 2 sees a token and the one before it', () => {
  const table = new PageTable(32, 16)
  const pool = new PooledSequences([table])
  grow(table, pool, 0, 4)
  expect(visible(table, 0, 2, { kind: 'sliding', size: 2 })).toEqual([
    [false, true, true, false],
    [false, false, true, true],
  ])
})

test('a chunk of 3 begins anew at positions 3 and 6', () => {
  const table = new PageTable(32, 16)
  const pool = new PooledSequences([table])
  grow(table, pool, 0, 8)
  const seen = visible(table, 0, 8, { kind: 'chunked', size: 3 })
  expect(seen.map((row) => row.indexOf(true))).toEqual([0, 0, 0, 3, 3, 3, 6, 6])
  expect(seen.map((row) => row.lastIndexOf(true))).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
})

test('layers of two reaches have two masks, and windowed ones read only the cells they need', () => {
  const table = new PageTable(64, 16)
  const pool = new PooledSequences([table])
  grow(table, pool, 0, 700)
  grow(table, pool, 1, 4)
  const layers = [true, true, false, true]
  const slidingWindow = { size: 8, layers, kind: 'sliding', ropeTheta: null } as const
  const { reaches, indexOf } = layerReaches({ slidingWindow }, { first: 1, end: 4 })
  expect(reaches).toEqual([null, slidingWindow])
  expect([1, 2, 3].map(indexOf)).toEqual([1, 0, 1])
  const batch = [0, 1].map((sequence) => ({ sequence, count: 2, outputs: 'last' as const }))
  const plans = planAttention(table, batch, reaches)
  const [full, windowed] = plans[0]!.spans
  expect(full!.cellCount).toBeGreaterThan(699)
  expect(windowed!.cellCount).toBe(256)
  const mask = new Uint16Array(maskLength(plans))
  fillMask(mask, plans, reaches)
  const open = plans.map(({ count, spans }) =>
    spans.map(({ maskOffset, cellCount }) =>
      mask
        .subarray(maskOffset, maskOffset + count * cellCount)
        .reduce((sum, bits) => sum + (bits === 0 ? 1 : 0), 0),
    ),
  )
  expect(open).toEqual([
    [699 + 700, 8 + 8],
    [3 + 4, 3 + 4],
  ])
})

test('stages of one reach have one mask', () => {
  const slidingWindow = { size: 8, layers: [true, false], kind: 'sliding', ropeTheta: null } as const
  const reachesIn = (first: number, end: number) => layerReaches({ slidingWindow }, { first, end })
  expect(reachesIn(0, 1).reaches).toEqual([slidingWindow])
  expect(reachesIn(0, 1).indexOf(0)).toBe(0)
  expect(reachesIn(1, 2).reaches).toEqual([null])
  expect(reachesIn(1, 2).indexOf(1)).toBe(0)
})

test('foreign cells between scattered pages stay hidden', () => {
  const table = new PageTable(8, 4)
  const pool = new PooledSequences([table])
  grow(table, pool, 0, 4)
  for (let other = 1; other < 4; other += 1) {
    grow(table, pool, other, 4)
  }
  grow(table, pool, 0, 16)
  expect(table.freePages).toBe(0)
  const plans = planAttention(table, [{ sequence: 0, count: 1, outputs: 'last' }], [null])
  const mask = new Uint16Array(plans[0]!.spans[0]!.cellCount)
  fillMask(mask, plans, [null])
  expect(mask.filter((value) => value === 0)).toHaveLength(20)
})

test('the shape of a decode batch stays the same inside a bucket', () => {
  const table = new PageTable(64, 16)
  const pool = new PooledSequences([table])
  grow(table, pool, 0, 10)
  const shape = (sequence = 0, movable = true) =>
    planShape(planAttention(table, [{ sequence, count: 1, outputs: 'last' }], [null]), movable)
  const before = shape()
  grow(table, pool, 0, 200)
  expect(shape()).toBe(before)
  grow(table, pool, 0, 100)
  expect(shape()).not.toBe(before)
  grow(table, pool, 1, 10)
  expect(shape(1), 'wherever it lies').toBe(before)
  expect(shape(1, false)).not.toBe(before)
})
