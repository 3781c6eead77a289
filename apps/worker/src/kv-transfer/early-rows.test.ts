import { expect, test } from 'vitest'
import { EarlyRows } from './early-rows.ts'

const rows = (layer: number, first: number) => ({
  ...{ key: 1, layer, first, count: 4 },
  keys: Uint8Array.from({ length: 8 }, (_, at) => 10 * first + at),
  values: Uint8Array.from({ length: 4 }, (_, at) => 100 + at),
})

test('rows are found where all of them are there, and only until they are dropped', () => {
  const early = new EarlyRows()
  early.add(rows(2, 4))
  early.add(rows(2, 8))
  expect(early.find(1, 2, 'key', { first: 5, end: 7 })).toEqual(Uint8Array.of(42, 43, 44, 45))
  expect(early.find(1, 2, 'value', { first: 8, end: 12 })).toEqual(Uint8Array.of(100, 101, 102, 103))
  // In two pieces, of another layer, of another prompt.
  expect(early.find(1, 2, 'key', { first: 6, end: 10 })).toBeNull()
  expect(early.find(1, 3, 'key', { first: 5, end: 7 })).toBeNull()
  expect(early.find(2, 2, 'key', { first: 5, end: 7 })).toBeNull()
  early.drop(1)
  expect(early.find(1, 2, 'key', { first: 5, end: 7 })).toBeNull()
})
