import { describe, expect, test } from 'vitest'
import { formatMoney, moneyText, parseMoney } from './money.ts'
import {
  formatBandwidth,
  formatDuration,
  formatFlops,
  formatParameters,
  formatPercent,
  formatShort,
  plural,
} from './numbers.ts'
import { formatRelative } from './time.ts'

const usd = (microUnits: string) => ({ currency: 'USD', microUnits })

test.each([
  [0, '0 ms'],
  [0.05, '50 µs'],
  [8.44, '8.44 ms'],
  [412.7, '413 ms'],
  [1240, '1.24 s'],
  [200_000, '3 min 20 s'],
  [7_500_000, '2 h 5 min'],
  [3 * 86_400_000, '3 d'],
])('%d ms is %s', (ms, text) => expect(formatDuration(ms)).toBe(text))

test.each([
  [0, '0'],
  [0.421, '0.42'],
  [42.34, '42.3'],
  [999.4, '999'],
  [12_345, '12.3K'],
  [4_200_000, '4.2M'],
])('%d in short is %s', (value, text) => expect(formatShort(value)).toBe(text))

test('rates, shares, sizes and counts carry their unit', () => {
  expect(formatBandwidth(2 * 1024 ** 3)).toBe('2 GiB/s')
  expect(formatPercent(0.0042)).toBe('0.4%')
  expect(formatPercent(0.876)).toBe('88%')
  expect(formatFlops(1.25e12)).toBe('1.25 TFLOP/s')
  expect(formatFlops(0)).toBe('0 FLOP/s')
  expect(formatParameters(8.03e9)).toBe('8B')
  expect(plural(1, 'machine')).toBe('1 machine')
  expect(plural(1200, 'machine')).toBe('1,200 machines')
})

describe('money', () => {
  test.each([
    [usd('2500000'), '$2.50'],
    [usd('128'), '$0.000128'],
    [usd('75000'), '$0.0750'],
    [usd('-1234500000'), '-$1,234.50'],
    [{ currency: 'CREDITS', microUnits: '12500000' }, '12.50 CREDITS'],
  ])('%j is shown as %s', (amount, text) => expect(formatMoney(amount)).toBe(text))

  test.each(['0', '2.5', '2.50', '0.000001', '12345678901.999999'])('%s is read exactly', (text) => {
    const amount = parseMoney(text, 'USD')
    expect(amount).not.toBeNull()
    expect(parseMoney(moneyText(amount!), 'USD')).toEqual(amount)
  })

  test.each(['', '-1', '1,5', '1.1234567', 'free', '1e3', '123456789012'])('"%s" is no amount', (text) => {
    expect(parseMoney(text, 'USD')).toBeNull()
  })
})

test.each([
  [-2000, 'just now'],
  [-40_000, '40 seconds ago'],
  [-3 * 3_600_000, '3 hours ago'],
  [3 * 86_400_000 + 1000, 'in 3 days'],
])('%d ms from now is %s', (distanceMs, text) => {
  const nowMs = Date.parse('2026-01-05T09:30:00Z')
  expect(formatRelative(new Date(nowMs + distanceMs).toISOString(), nowMs)).toBe(text)
})
