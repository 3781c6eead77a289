import { expect, test } from 'vitest'
import { advantage, bestWithin, type CurvePoint } from './curves.ts'

const point = (name: string, ratio: number, meanKl: number, perplexityRatio = 1): CurvePoint => ({
  ...{ name, ratio, meanKl, perplexityRatio, bytesPerToken: 4096 / ratio, megabytesPerSecond: null },
  ...{ p99Kl: meanKl, top1Agreement: 1, copyRecall: 1 },
})

test('the best is the smallest that keeps both limits', () => {
  const points = [
    point('a', 5, 0.001),
    point('b', 9, 0.009),
    point('c', 10, 0.009, 1.02),
    point('d', 12, 0.02),
  ]
  expect(bestWithin(points, 0.01, 1.01)?.name).toBe('b')
  expect(bestWithin(points, 0.0001, 1.01)).toBeNull()
})

test('the advantage is over the alternative that comes closest, at no more divergence than its own', () => {
  const ours = [point('a', 5, 0.001), point('b', 9, 0.009)]
  expect(advantage(ours, [point('x', 2, 0.001), point('y', 8, 0.05)])).toEqual({ ratio: 9 / 8, against: 'y' })
  expect(advantage(ours, [point('x', 2, 0.0001)])).toBeNull()
})
