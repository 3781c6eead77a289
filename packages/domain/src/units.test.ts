import { expect, test } from 'vitest'
import { bytes, formatBytes, parseBytes } from './units.ts'

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1536, '1.5 KiB'],
  [150 * 1024 * 1024, '150 MiB'],
  [2 ** 40, '1 TiB'],
])('%d bytes read as %s', (size, text) => {
  expect(formatBytes(bytes(size))).toBe(text)
})

test.each([
  ['4096', 4096],
  ['512M', 512 * 2 ** 20],
  ['1.5 GiB', 1.5 * 2 ** 30],
  ['2kb', 2048],
])('%s is understood', (text, size) => {
  expect(parseBytes(text)).toBe(size)
})

test.each(['', 'M', '-5', '5 apples', '1e9'])('"%s" is not a size', (text) => {
  expect(() => parseBytes(text)).toThrow(/is not a size/)
})
