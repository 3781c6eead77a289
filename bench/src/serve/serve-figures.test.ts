import { expect, test } from 'vitest'
import type { ContenderName } from './contender.ts'
import { comparison, latencyFigures, share } from './serve-figures.ts'

const rounds = <R>(entries: readonly (readonly [ContenderName, readonly R[]])[]) => new Map(entries)

test('a comparison is the median of the ratios within rounds', () => {
  const results = rounds<number>([
    ['deos', [10, 30, 50]],
    ['llamaServer', [20, 20, 20]],
  ])
  const terms = { id: 'serve.x', better: 'higher', bar: 1 } as const
  expect(comparison(terms, results, 'llamaServer', (value) => value, 'none')).toMatchObject({
    ...{ id: 'serve.x', value: 1.5, unit: 'ratio', bar: 1, pass: true, n: 3, spread: 1 },
  })
  expect(comparison(terms, results, 'withoutPrefixCache', (value) => value, 'not started')).toMatchObject({
    ...{ value: null, bar: 1, pass: null, n: 0, reason: 'not started' },
  })
})

test('a share is a contender’s own number', () => {
  const terms = { id: 'serve.y', better: 'lower', bar: 2 } as const
  expect(share(terms, rounds([['deos', [3, 1, 2.5]]]), 'deos', 'none')).toMatchObject({
    ...{ value: 2.5, pass: false, n: 3 },
  })
  expect(share(terms, rounds<number>([]), 'llamaServer', 'not given')).toMatchObject({ reason: 'not given' })
})

test('latencies are four figures, lower is better', () => {
  const summary = (ms: number) => ({
    ...{ tokensPerSecond: 1, requestsPerSecond: 1, cachedTokens: 0, mergedTokens: 0 },
    ttftMs: { p50: ms, p99: 2 * ms },
    tpotMs: { p50: 3 * ms, p99: 5 * ms },
  })
  const figures = latencyFigures(
    'serve.closed',
    rounds([
      ['deos', [summary(10)]],
      ['llamaServer', [{ ...summary(20), tpotMs: { p50: 15, p99: 100 } }]],
    ]),
    'none',
  )
  expect(figures.map(({ id, value, better }) => [id, value, better])).toEqual([
    ['serve.closed.ttftP50.vsLlamaServer', 0.5, 'lower'],
    ['serve.closed.ttftP99.vsLlamaServer', 0.5, 'lower'],
    ['serve.closed.tpotP50.vsLlamaServer', 2, 'lower'],
    ['serve.closed.tpotP99.vsLlamaServer', 0.5, 'lower'],
  ])
})
