import { expect, test } from 'vitest'
import { fillMask, planAttention, planShape } from './attention-plan.ts'
import { PageTable } from './page-table.ts'

function visible(table: PageTable, sequence: number, count: number, window: number | null): boolean[][] {
  const plans = planAttention(table, [{ sequence, count, outputs: 'none' }], window)
  const plan = plans[0]!
  const mask = new Uint16Array(plan.count * plan.cellCount)
  fillMask(mask, plans, window)
  return Array.from({ length: count }, (_, row) =>
    Array.from({ length: table.length(sequence) }, (_, position) => {
      const cell = table.cell(sequence, position) - plan.cellStart
      return cell >= 0 && cell < plan.cellCount && mask[row * plan.cellCount + cell] === 0
    }),
  )
}

test('a chunk sees its past and itself, not its future', () => {
  const table = new PageTable(32, 16)
  table.allocate(0)
  table.append(0, 5)
  expect(visible(table, 0, 3, null)).toEqual([
    [true, true, true, false, false],
    [true, true, true, true, false],
    [true, true, true, true, true],
  ])
})

test('a window of 2 sees a token and the one before it', () => {
  const table = new PageTable(32, 16)
  table.allocate(0)
  table.append(0, 4)
  expect(visible(table, 0, 2, 2)).toEqual([
    [false, true, true, false],
    [false, false, true, true],
  ])
})

test('foreign cells between scattered pages stay hidden', () => {
  const table = new PageTable(8, 4)
  table.allocate(0)
  table.append(0, 4)
  for (let other = 1; other < 4; other += 1) {
    table.allocate(other)
    table.append(other, 4)
  }
  table.append(0, 16)
  expect(table.freePages).toBe(0)
  const plans = planAttention(table, [{ sequence: 0, count: 1, outputs: 'last' }], null)
  const mask = new Uint16Array(plans[0]!.cellCount)
  fillMask(mask, plans, null)
  expect(mask.filter((value) => value === 0)).toHaveLength(20)
})

test('the shape of a decode batch stays the same inside a bucket', () => {
  const table = new PageTable(64, 16)
  table.allocate(0)
  table.append(0, 10)
  const shape = () => planShape(planAttention(table, [{ sequence: 0, count: 1, outputs: 'last' }], null))
  const before = shape()
  table.append(0, 200)
  expect(shape()).toBe(before)
  table.append(0, 100)
  expect(shape()).not.toBe(before)
})
