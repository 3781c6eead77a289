import { defaultSampling, sessionId } from '@deos/domain'
import { describe, expect, test } from 'vitest'
import { type OpenRequest, plainNeeds } from '../messages.ts'
import { allowedTokens, judgeLength, judgeRequest } from './admission.ts'
import { CompletionRate } from './completion-rate.ts'

const request = (length: number, overrides: Partial<OpenRequest> = {}): OpenRequest => ({
  type: 'open-request',
  session: sessionId('s'),
  tokens: new Int32Array(length),
  resumed: 0,
  maxTokens: 10,
  stopTokens: [],
  sampling: defaultSampling,
  deadlineMs: 0,
  tenant: 't',
  priority: 0,
  needs: plainNeeds,
  pooling: null,
  trace: null,
  ...overrides,
})
const capacity = { kvPages: 100, pageTokens: 16, contextLength: 64, maxBatchTokens: 32 }

describe('judgeRequest()', () => {
  test.each<[string, OpenRequest, string]>([
    ['an empty prompt', request(0), 'invalid'],
    ['a prompt that leaves no room for an answer', request(64), 'prompt_too_long'],
    ['a token outside the vocabulary', request(1, { tokens: Int32Array.of(50) }), 'invalid'],
    ['a negative token', request(1, { tokens: Int32Array.of(-1) }), 'invalid'],
    ['nothing left to generate', request(12, { resumed: 10 }), 'invalid'],
    ['no tokens asked for after some', request(4, { resumed: 2, maxTokens: 0 }), 'invalid'],
    ['an endless name of a tenant', request(4, { tenant: 't'.repeat(257) }), 'invalid'],
    ['a priority beyond all others', request(4, { priority: 101 }), 'invalid'],
    ['half a priority', request(4, { priority: 0.5 }), 'invalid'],
    ['a vector of something half generated', request(4, { pooling: 'mean', resumed: 1 }), 'invalid'],
    [
      'a vector that follows a grammar',
      request(4, { pooling: 'last', needs: { adapter: null, grammar: '{}' } }),
      'invalid',
    ],
    ['a text too long for a vector', request(65, { pooling: 'mean' }), 'prompt_too_long'],
  ])('%s is refused for good', (_, asked, code) => {
    expect(judgeRequest(asked, capacity, 50)).toMatchObject({ code, retryAfterMs: 0 })
  })

  test('the refusal of a long prompt names the numbers', () => {
    expect(judgeRequest(request(70), capacity, null)?.message).toContain('70 tokens')
    expect(judgeRequest(request(70), capacity, null)?.message).toContain('64')
    expect(judgeRequest(request(70), capacity, null)?.message).toContain('by 7')
  })

  test('the longest prompt that leaves one token is taken; a page pool below the context shortens it', () => {
    expect(judgeRequest(request(63), capacity, null)).toBeNull()
    const small = { ...capacity, kvPages: 2 }
    expect(judgeRequest(request(31), small, null)).toBeNull()
    expect(judgeRequest(request(32), small, null)?.code).toBe('prompt_too_long')
  })

  test('a vector needs no room for an answer, and no tokens asked for', () => {
    expect(judgeRequest(request(64, { pooling: 'mean', maxTokens: 0 }), capacity, null)).toBeNull()
  })

  test('what was generated counts towards the length', () => {
    expect(judgeLength(63, false, capacity)).toBeNull()
    expect(judgeLength(64, false, capacity)?.code).toBe('prompt_too_long')
  })
})

describe('allowedTokens()', () => {
  test.each<[string, OpenRequest, number]>([
    ['what was asked for fits', request(20), 10],
    ['clamped to the context', request(60), 4],
    ['resumed tokens count as generated', request(20, { resumed: 4 }), 10],
    ['resumed and clamped', request(62, { resumed: 4 }), 6],
    ['a vector', request(20, { pooling: 'last', maxTokens: 0 }), 1],
  ])('%s', (_, asked, expected) => {
    expect(allowedTokens(asked, capacity)).toBe(expected)
  })
})

describe('CompletionRate', () => {
  test('guesses until it has measured, then follows the measured pace', () => {
    const rate = new CompletionRate()
    expect(rate.retryAfterMs(10)).toBe(1_000)
    for (let time = 0; time <= 5_000; time += 500) rate.record(time)
    expect(rate.retryAfterMs(10)).toBe(2_500)
    expect(rate.retryAfterMs(0)).toBe(500)
  })

  test('stays within bounds, and idle time is no slowness', () => {
    const rate = new CompletionRate()
    rate.record(0)
    rate.record(1)
    expect(rate.retryAfterMs(2)).toBe(250)
    rate.pause()
    rate.record(1e9)
    expect(rate.retryAfterMs(2)).toBe(250)
    rate.record(2e9)
    expect(rate.retryAfterMs(1_000)).toBe(60_000)
  })
})
