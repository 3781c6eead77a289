import { expect, test } from 'vitest'
import { advantage, bestWithin, type CurvePoint, guardedBytesPerToken } from './curves.ts'

const point = (family: string, ratio: number, meanKl: number, refusals: readonly boolean[] = [false]) =>
  ({
    ...{ name: `${family}@${ratio}`, family, ratio, meanKl, refusals, perplexityRatio: 1 },
    ...{ bytesPerToken: 600 / ratio, toolBytes: 0, refused: 0, needleGain: null },
    contexts: refusals.map(() => ({ tokens: 10, bytes: 6000 / ratio })),
    ...{ p99Kl: 0, top1Agreement: 1, copyRecall: 1, needleRecall: null },
  }) satisfies CurvePoint

test('the best point keeps every limit', () => {
  const points = [point('a', 2, 0.001), point('a', 5, 0.008), point('a', 9, 0.02)]
  const limits = { meanKl: 0.01, perplexityRatio: 1.01 }
  expect(bestWithin(points, limits)?.ratio).toBe(5)
  expect(bestWithin(points, limits, ({ ratio }) => -ratio)?.ratio).toBe(2)
  expect(bestWithin(points, { ...limits, meanKl: 0.0001 })).toBeNull()
})

test('what the probes refuse travels again, finer, and in the end without loss', () => {
  const lossless = point('l0', 1.5, 0, [false, false, false])
  const coarse = point('a', 6, 0.01, [false, true, true])
  const points = [lossless, point('a', 4, 0.008, [false, false, true]), coarse]
  const bytes = [1000, 1000 + 1500, 1000 + 1500 + 4000]
  expect(guardedBytesPerToken(coarse, points, lossless)).toBe((bytes[0]! + bytes[1]! + bytes[2]!) / 30)
  expect(guardedBytesPerToken(lossless, points, lossless)).toBe(400)
})

test('the advantage is on lines within a family only', () => {
  const ours = [point('a', 2, 1e-4), point('a', 8, 1e-2), point('b', 100, 1)]
  expect(advantage(ours, point('x', 2, 1e-3))).toBe(2)
  expect(advantage(ours, point('x', 1, 1e-4))).toBe(2)
  // Beyond the last point of a family there is no line.
  expect(advantage(ours, point('x', 4, 0.5))).toBe(2)
  expect(advantage(ours, point('x', 4, 1e-5))).toBeNull()
})
