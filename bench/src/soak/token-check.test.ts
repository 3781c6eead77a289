import { expect, test } from 'vitest'
import { type TokenReport, wrongToken } from './token-check.ts'

const report = (tokens: readonly string[], likely: readonly Record<string, number>[]): TokenReport => ({
  tokens,
  token_logprobs: tokens.map(() => -0.5),
  top_logprobs: likely,
})
const alone = report(['a', 'b', 'c'], [{ a: -0.1, x: -3 }, { b: -0.7, y: -0.71 }, { c: -0.2 }])

test.each<[string, readonly string[], string | null]>([
  ['the same tokens', ['a', 'b', 'c'], null],
  ['a tie, and whatever follows it', ['a', 'y', 'q', 'r'], null],
  ['a worse token', ['x', 'b', 'c'], 'token 0 is "x", 2.900 nats behind in the run alone'],
  ['an unheard-of token', ['a', 'b', 'q'], 'token 2 is "q", not among the likeliest in the run alone'],
  ['an answer cut short', ['a', 'b'], '2 tokens came, 3 in the run alone'],
  ['an answer that goes on', ['a', 'b', 'c', 'd'], 'token 3 came, though the run alone had ended'],
])('%s', (_, tokens, expected) => {
  expect(wrongToken(report(tokens, []), alone)).toBe(expected)
})
