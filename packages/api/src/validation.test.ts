import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { checkInput, parseInput, type ValidationError } from './validation.ts'

const schema = z.strictObject({
  name: z.string().max(3),
  list: z.array(z.object({ size: z.int() })).optional(),
  either: z.union([z.literal('a'), z.int()]).optional(),
})

const problemsOf = (input: unknown) => {
  const parsed = checkInput(schema, input, 'body')
  return parsed.ok ? [] : parsed.problems
}

test.each([
  [{}, 'name', 'is required'],
  [{ name: 'abcd' }, 'name', 'too big: expected string to have <=3 characters'],
  [
    { name: 'a', list: [{ size: 1 }, { size: 1.5 }] },
    'list[1].size',
    'invalid input: expected int, received number',
  ],
  [{ name: 'a', either: 'b' }, 'either', 'fits none of the allowed forms'],
  [{ name: 'a', x: 1 }, 'x', 'is not a field here'],
  [null, '', 'invalid input: expected object, received null'],
  [undefined, '', 'is required'],
])('%j names %j', (input, field, message) => {
  expect(problemsOf(input)).toEqual([{ in: 'body', field, message }])
})

describe('ValidationError', () => {
  test('says the first problem, how many there are, and where the rest is described', () => {
    const wrong = Array.from({ length: 30 }, () => ({ size: 'x' }))
    const attempt = () => parseInput(schema, { name: 'a', list: wrong }, 'body')
    expect(attempt).toThrow(/^list\[0\]\.size \(body\): invalid input.* 29 more fields are not valid\.$/)
    const error = (() => {
      try {
        return attempt()
      } catch (caught) {
        return caught
      }
    })() as ValidationError
    expect(error.fields).toHaveLength(20)
    expect(error.more).toBe(10)
    expect(error.hint).toContain('openapi.json')
  })

  test('names of fields are cut and cleaned before they are repeated', () => {
    const [problem] = problemsOf({ name: 'a', [`\u001b[31m${'x'.repeat(500)}`]: 1 })
    expect(problem!.field).toHaveLength(120)
    expect(problem!.field).not.toContain('\u001b')
  })
})
