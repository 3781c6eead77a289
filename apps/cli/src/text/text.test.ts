import { expect, test } from 'vitest'
import { closest, editDistance } from './closest.ts'
import { formatCount, formatMilliseconds, formatPercent } from './quantities.ts'
import { quoteShell } from './shell-words.ts'
import { formatFields, formatTable } from './table.ts'

test('columns are as wide as their widest cell, without blanks at the end', () => {
  const table = formatTable(
    [{ title: 'part' }, { title: 'bytes', align: 'right' }, { title: 'note' }],
    [
      ['head', '1', ''],
      ['embedding', '1048576', 'tied'],
    ],
  )
  expect(table).toBe('part         bytes  note\nhead             1\nembedding  1048576  tied')
})

test('fields stand one under another', () => {
  expect(
    formatFields([
      ['a', '1'],
      ['long', '2'],
    ]),
  ).toBe('a     1\nlong  2')
})

test.each([
  [0, '0'],
  [999, '999'],
  [6_950_000, '6.95 M'],
  [13_900_000, '13.9 M'],
  [1.24e12, '1.24 T'],
])('formatCount(%d) is %s', (value, text) => {
  expect(formatCount(value)).toBe(text)
})

test.each([
  [12.4, '12 ms'],
  [2100, '2.1 s'],
  [245_000, '4 min 5 s'],
])('formatMilliseconds(%d) is %s', (value, text) => {
  expect(formatMilliseconds(value)).toBe(text)
})

test('a share is whole only when it is', () => {
  expect(formatPercent(0.999)).toBe('99%')
  expect(formatPercent(1)).toBe('100%')
})

test('words that a shell would change are quoted', () => {
  expect(quoteShell('/models/deos-7m')).toBe('/models/deos-7m')
  expect(quoteShell(`it's`)).toBe(`'it'\\''s'`)
})

test('a slip of the finger is recognised, another word is not', () => {
  expect(editDistance('engin', 'engine')).toBe(1)
  expect(closest('engin', ['engine', 'ring'])).toBe('engine')
  expect(closest('xyz', ['engine', 'ring'])).toBeNull()
  expect(closest('ring', [])).toBeNull()
})
