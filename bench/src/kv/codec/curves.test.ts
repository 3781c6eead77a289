import { expect, test } from 'vitest'
import { advantage, bestWithin, type CurvePoint } from './curves.ts'

const point = (family: string, ratio: number, meanKl: number, refused = 0): CurvePoint => ({
  ...{ name: `${family}@${ratio}`, family, ratio, meanKl, refused, perplexityRatio: 1, bytesPerToken: 1 },
  ...{ encodeMegabytesPerSecond: null, decodeMegabytesPerSecond: null },
  ...{ p99Kl: 0, top1Agreement: 1, copyRecall: 1, needleRecall: null },
})

test('the best point keeps every limit', () => {
  const points = [point('a', 2, 0.001), point('a', 5, 0.008), point('a', 6, 0.009, 0.1), point('a', 9, 0.02)]
  const limits = { meanKl: 0.01, perplexityRatio: 1.01, refused: 0 }
  expect(bestWithin(points, limits)?.ratio).toBe(5)
  expect(bestWithin(points, { ...limits, meanKl: 0.0001 })).toBeNull()
})

test('the advantage is the least over alternatives, on lines within a family only', () => {
  const ours = [point('a', 2, 1e-4), point('a', 8, 1e-2), point('b', 100, 1)]
  expect(advantage(ours, [point('x', 2, 1e-3), point('y', 1, 1e-4)])).toEqual({
    ratio: 2,
    against: 'x@2',
  })
  // Beyond the last point of a family there is no line.
  expect(advantage(ours, [point('x', 4, 0.5)])?.ratio).toBe(2)
  expect(advantage(ours, [point('x', 4, 1e-5)])).toBeNull()
})
