import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { cursorFormat, defaultPageSize, maxPageSize, pageQuery } from './pagination.ts'
import { ValidationError } from './validation.ts'

const format = cursorFormat('machines', z.tuple([z.string(), z.int()]))
const query = z.strictObject(pageQuery)

test('what is encoded is decoded, and fits the query', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), fc.integer(), (name, number) => {
      const cursor = format.encode([name, number])
      expect(query.parse({ cursor }).cursor).toBe(cursor)
      expect(format.decode(cursor)).toEqual([name, number])
    }),
  )
})

describe('cursors of elsewhere', () => {
  const other = cursorFormat('models', z.tuple([z.string(), z.int()]))
  const json = (value: unknown) => btoa(JSON.stringify(value)).replaceAll('=', '')

  test.each([
    '',
    'x',
    '%%%',
    'AAAA',
    '____',
    other.encode(['a', 1]),
    json(['machines']),
    json(['machines', ['a', 'b']]),
    json({ 0: 'machines' }),
  ])('%j is refused', (cursor) => {
    expect(() => format.decode(cursor)).toThrow(ValidationError)
  })

  test('whatever text comes, nothing else is thrown', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (cursor) => {
        try {
          format.decode(cursor)
        } catch (error) {
          expect(error).toBeInstanceOf(ValidationError)
          expect((error as ValidationError).fields[0]).toMatchObject({ in: 'query', field: 'cursor' })
        }
      }),
    )
  })
})

test('limits have a default and bounds', () => {
  expect(query.parse({})).toEqual({ limit: defaultPageSize })
  expect(query.parse({ limit: String(maxPageSize) }).limit).toBe(maxPageSize)
  for (const limit of ['0', '-1', '201', '1.5', '', ' 1', '1e2', '0x10', 'ten', '9'.repeat(30)]) {
    expect(query.safeParse({ limit }).success, limit).toBe(false)
  }
})
