import { DomainError } from '@deos/domain'
import { describe, expect, test } from 'vitest'
import { ProblemError, problemFor, problemSchema } from './problem.ts'
import { problemNameOf, problemNames, problemTypes, problemUri } from './problem-types.ts'
import { ValidationError } from './validation.ts'

class FullError extends DomainError {
  readonly code = 'MACHINE_FULL'
  readonly retriable = true
  readonly retryAfterMs = 1200.5
}

const mapping = { MACHINE_FULL: 'conflict' } as const

test('an error that the table names is shown with its own words', () => {
  const problem = problemFor(new FullError('No room.', 'Add a machine.'), mapping, 'req-1')
  expect(problemSchema.parse(problem)).toEqual({
    type: 'urn:deos:problem:conflict',
    title: problemTypes.conflict.title,
    status: 409,
    detail: 'No room.',
    hint: 'Add a machine.',
    code: 'MACHINE_FULL',
    retriable: true,
    retryAfterMs: 1201,
    requestId: 'req-1',
    errors: [],
    moreErrors: 0,
  })
})

describe('what is not expected stays inside', () => {
  const secret = 'postgres://deos:hunter2@db/deos'
  test.each([
    ['a bug', new TypeError(`cannot connect to ${secret}`)],
    ['an error nobody mapped', new FullError(secret, secret)],
    ['a thrown text', secret],
    ['nothing', undefined],
  ])('%s is an internal problem without details', (_, error) => {
    const problem = problemFor(error, {}, null)
    expect(problem).toMatchObject({ type: 'urn:deos:problem:internal', status: 500, code: 'INTERNAL' })
    expect(JSON.stringify(problem)).not.toContain('hunter2')
    expect(problemSchema.safeParse(problem).success).toBe(true)
  })

  test('codes that objects have anyway map to nothing', () => {
    class OddError extends DomainError {
      readonly code = 'constructor'
      readonly retriable = false
    }
    expect(problemFor(new OddError(secret, ''), mapping, null).status).toBe(500)
  })
})

test('a problem thrown by name keeps code, cause and wait', () => {
  const cause = new Error('inner')
  const error = new ProblemError('rate-limited', 'Too fast.', { retryAfterMs: 500, cause, hint: 'Wait.' })
  expect(error).toMatchObject({ code: 'RATE_LIMITED', retriable: true, cause })
  expect(problemFor(error, {}, null)).toMatchObject({ status: 429, retryAfterMs: 500, detail: 'Too fast.' })
})

test('validation problems name every field', () => {
  const fields = [{ in: 'query', field: 'limit', message: 'is required' }] as const
  expect(problemFor(new ValidationError(fields), {}, null)).toMatchObject({
    status: 400,
    type: 'urn:deos:problem:validation',
    code: 'VALIDATION_FAILED',
    errors: fields,
    moreErrors: 0,
  })
})

test('types of problems are stable addresses, one for each name', () => {
  for (const name of problemNames) expect(problemNameOf(problemUri(name))).toBe(name)
  for (const uri of ['about:blank', 'urn:deos:problem:', 'urn:deos:problem:toString']) {
    expect(problemNameOf(uri)).toBeNull()
  }
})
