import { InvalidArgumentError } from 'commander'
import { expect, test } from 'vitest'
import { namedPath, number, oneOf, size, wholeNumber, wholeNumberOr } from './option-parsers.ts'

test('whole numbers within their range', () => {
  expect(wholeNumber(1, 64)('64')).toBe(64)
  for (const text of ['0', '65', '1.5', '', 'x', '1e3', '-1']) {
    expect(() => wholeNumber(1, 64)(text), text).toThrow(InvalidArgumentError)
  }
})

test('a whole number or a word', () => {
  expect(wholeNumberOr('auto', 1)('Auto')).toBe('auto')
  expect(wholeNumberOr('auto', 1)('32')).toBe(32)
  expect(() => wholeNumberOr('auto', 1)('0')).toThrow(InvalidArgumentError)
})

test('paths with names', () => {
  expect(namedPath('poet=/models/poet=1', [])).toEqual([{ name: 'poet', path: '/models/poet=1' }])
  for (const text of ['poet', '=/models/poet', 'poet=']) {
    expect(() => namedPath(text, []), text).toThrow(InvalidArgumentError)
  }
  expect(() => namedPath('poet=/b', [{ name: 'poet', path: '/a' }])).toThrow('given twice')
})

test('numbers within their range', () => {
  expect(number(0, 2)('0.7')).toBe(0.7)
  for (const text of ['', ' ', '2.1', '-0.1', 'hot', 'Infinity']) {
    expect(() => number(0, 2)(text), text).toThrow(InvalidArgumentError)
  }
})

test('sizes as people write them', () => {
  expect(size('512M')).toBe(512 * 2 ** 20)
  expect(() => size('much')).toThrow(InvalidArgumentError)
})

test('names in any case', () => {
  expect(oneOf(['auto', 'F16'])('f16')).toBe('F16')
  expect(() => oneOf(['auto', 'F16'])('F8')).toThrow('It must be one of auto, F16.')
})
