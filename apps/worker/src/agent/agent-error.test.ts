import { ApiError, type Problem, type ProblemName, problemTypes, problemUri } from '@deos/sdk'
import { expect, test } from 'vitest'
import { exitCodeOf, JoinRefusedError, judge, judgeJoin, MachineFencedError } from './agent-error.ts'

function apiError(name: ProblemName, code: string): ApiError {
  const problem: Problem = {
    ...{ type: problemUri(name), ...problemTypes[name], detail: 'Because.', hint: 'Do.', code },
    ...{ retryAfterMs: null, requestId: null, errors: [], moreErrors: 0 },
  }
  return ApiError.ofProblem(problem)
}

const outcome = (verdict: ReturnType<typeof judge>) =>
  verdict.next === 'end' ? `exit ${exitCodeOf(verdict.error)}` : verdict.next

test.each<[ProblemName, string, string]>([
  ['stale-incarnation', 'STALE_INCARNATION', 'exit 3'],
  ['conflict', 'MACHINE_FENCED', 'exit 3'],
  ['stale-incarnation', 'MACHINE_REJOIN', 'join-again'],
  ['unauthenticated', 'UNAUTHENTICATED', 'join-again'],
  ['not-found', 'MACHINE_UNKNOWN', 'join-again'],
  ['gone', 'MACHINE_REMOVED', 'exit 4'],
  ['version-unsupported', 'MACHINE_VERSION', 'exit 4'],
  ['unavailable', 'UNAVAILABLE', 'retry'],
  ['internal', 'INTERNAL', 'retry'],
  ['rate-limited', 'RATE_LIMITED', 'retry'],
])('a member that hears %s (%s) does %s', (name, code, expected) => {
  expect(outcome(judge(apiError(name, code)))).toBe(expected)
})

test.each<[ProblemName, string, string]>([
  ['unauthenticated', 'TOKEN_UNKNOWN', 'exit 4'],
  ['gone', 'TOKEN_EXPIRED', 'exit 4'],
  ['validation', 'VALIDATION', 'exit 4'],
  ['conflict', 'JOIN_STALE', 'retry'],
  ['unauthenticated', 'CHALLENGE_EXPIRED', 'retry'],
  ['unavailable', 'UNAVAILABLE', 'retry'],
])('who joins and hears %s (%s) does %s', (name, code, expected) => {
  expect(outcome(judgeJoin(apiError(name, code), false))).toBe(expected)
})

test('what is no word of the API passes, except for a first join at a wrong address', () => {
  const page = ApiError.unexpected('A page came', 404, null)
  expect(judge(page)).toEqual({ next: 'retry' })
  expect(judge(new Error('aborted'))).toEqual({ next: 'retry' })
  expect(judgeJoin(page, true)).toEqual({ next: 'retry' })
  expect(outcome(judgeJoin(page, false))).toBe('exit 4')
  expect(outcome(judgeJoin(ApiError.unreachable('x', null), false))).toBe('retry')
  expect(outcome(judgeJoin(new MachineFencedError('Another is.'), true))).toBe('exit 3')
  expect(new JoinRefusedError(page).message).toContain('A page came')
})
