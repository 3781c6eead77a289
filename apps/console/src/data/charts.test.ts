import { expect, test } from 'vitest'
import { chartsOf, continued } from './charts.ts'

const series = {
  startAt: '2026-01-05T09:00:00.000Z',
  stepMs: 60_000,
  values: {
    ttft_p50_ms: [10, null],
    ttft_p95_ms: [20, 30],
    tokens_per_second: [1, 2],
    odd_bytes: [1024, 2048],
  },
}

test('what belongs together is one picture, in a fixed order', () => {
  const charts = chartsOf(series)
  expect(charts.map(({ title }) => title)).toEqual(['Throughput', 'Time to first token', 'Odd'])
  expect(charts[1]!.lines.map(({ label }) => label)).toEqual(['p50', 'p95'])
  expect(charts[1]!.times).toEqual([1_767_603_600, 1_767_603_660])
  expect(charts[2]!.format(2048)).toBe('2 KiB')
})

test('nothing measured gives no pictures', () => {
  expect(chartsOf({ ...series, values: {} })).toEqual([])
})

test('moments after the end go on with the series and push its beginning out', () => {
  const atMs = Date.parse(series.startAt) + 3 * 60_000 + 5
  const result = continued(series, [{ atMs, values: { tokens_per_second: 9 } }])
  expect(result.startAt).toBe('2026-01-05T09:02:00.000Z')
  expect(result.values.tokens_per_second).toEqual([null, 9])
  expect(result.values.ttft_p95_ms).toEqual([null, null])
})

test('moments within the series change nothing', () => {
  const atMs = Date.parse(series.startAt) + 61_000
  expect(continued(series, [{ atMs, values: { tokens_per_second: 9 } }])).toBe(series)
})
