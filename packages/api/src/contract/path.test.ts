import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ValidationError } from '../validation.ts'
import { fillPath, matchPath, parametersOf } from './path.ts'

test('parameters come in the order of the path', () => {
  expect(parametersOf('/a/{b}/c/{dE}')).toEqual(['b', 'dE'])
  expect(parametersOf('/a')).toEqual([])
})

test.each([
  ['a/b', '/m/a%2Fb'],
  ['a b', '/m/a%20b'],
  ['?x=1#y', '/m/%3Fx%3D1%23y'],
  ['sha256:0f', '/m/sha256%3A0f'],
  ['...', '/m/...'],
])('%j is one segment of the path', (value, path) => {
  expect(fillPath('/m/{model}', { model: value })).toBe(path)
})

test.each(['', '.', '..', '\ud800'])('%j cannot be in a path', (value) => {
  expect(() => fillPath('/m/{model}', { model: value })).toThrow(ValidationError)
})

test('a value that is missing or only inherited is refused', () => {
  expect(() => fillPath('/m/{model}', {})).toThrow(/model \(path\): must not be empty/)
  expect(() => fillPath('/m/{toString}', {})).toThrow(ValidationError)
})

const value = fc.string({ unit: 'binary', minLength: 1 }).filter((text) => text !== '.' && text !== '..')

test('what is filled in is found again, also by URL parsers', () => {
  fc.assert(
    fc.property(value, value, (a, b) => {
      const path = fillPath('/x/{a}/y/{b}', { a, b })
      expect(new URL(path, 'http://host').pathname).toBe(path)
      expect(matchPath('/x/{a}/y/{b}', path)).toEqual({ a, b })
    }),
  )
})

describe('matchPath()', () => {
  test.each(['/x', '/x/', '/x/1/z', '/y/1', '/x/%', '/x/%ff'])('%s is no instance of /x/{a}', (path) => {
    expect(matchPath('/x/{a}', path)).toBeNull()
  })

  test('names that objects have anyway are only data', () => {
    expect(matchPath('/x/{a}', '/x/__proto__')).toEqual({ a: '__proto__' })
  })
})
