import fc from 'fast-check'
import { expect, test } from 'vitest'
import { findJsonFault } from './json-syntax.ts'

test.each([
  ['{"a":tru}', 5, 'a value'],
  ['{"a":1,}', 7, 'a property name in double quotes'],
  ['[1 2]', 3, '"," or "]"'],
  ['{"a" 1}', 5, '":" after the property name'],
  ['{a:1}', 1, '"," or "}"'],
  ['', 0, 'a value'],
  ['{"a":"\n"}', 6, 'a valid string character or a closing quote'],
  ['"\\x"', 1, 'a valid string character or a closing quote'],
  ['[', 1, 'a value'],
  ['{} {}', 3, 'the end of the body'],
  ['01', 1, 'the end of the body'],
])('%j goes wrong at %i', (text, offset, expected) => {
  expect(findJsonFault(text)).toMatchObject({ offset, ...(text !== '{a:1}' && { expected }) })
})

test('counts lines and columns from 1', () => {
  expect(findJsonFault('{\n  "a": 1,\n  b\n}')).toMatchObject({ offset: 14, line: 3, column: 3 })
})

test('finds the end of long strings and numbers without running out of stack', () => {
  const megabytes = 3_000_000
  expect(findJsonFault(`"${'a'.repeat(megabytes)}`)).toMatchObject({ offset: megabytes + 1 })
  expect(findJsonFault(`${'1'.repeat(megabytes)}x`)).toMatchObject({ offset: megabytes })
  expect(findJsonFault('['.repeat(megabytes))).toMatchObject({ offset: megabytes })
})

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

test('agrees with the parser on what is JSON', () => {
  const nearJson = fc
    .tuple(
      fc.json(),
      fc.nat(),
      fc.constantFrom('', ',', '"', '}', ']', ':', '\\', '0', 'e', '.', '-', ' ', '\u0001'),
    )
    .map(([text, at, extra]) => {
      const cut = at % (text.length + 1)
      return text.slice(0, cut) + extra + text.slice(extra === '' ? cut + 1 : cut)
    })
  fc.assert(
    fc.property(fc.oneof(nearJson, fc.json(), fc.string()), (text) => {
      expect(findJsonFault(text) === null).toBe(isJson(text))
    }),
    { numRuns: 1000 },
  )
})
