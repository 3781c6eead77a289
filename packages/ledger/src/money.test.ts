import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AmountInvalidError } from './input-errors.ts'
import { currency, formatMoney, money, parseMoney } from './money.ts'

const usd = currency('USD')

test.each([
  [12_340_000n, '12.34 USD'],
  [0n, '0.00 USD'],
  [1n, '0.000001 USD'],
  [1_500_000n, '1.50 USD'],
  [10_000_000n, '10.00 USD'],
  [123_456n, '0.123456 USD'],
  [-500_000n, '-0.50 USD'],
  [-1n, '-0.000001 USD'],
])('%d micro-units read as %s', (micros, text) => {
  expect(formatMoney(money(micros, usd))).toBe(text)
})

test.each([
  ['7 USD', 7_000_000n],
  [' 0.1 USD ', 100_000n],
  ['-3.000001 USD', -3_000_001n],
])('%j is understood', (text, micros) => {
  expect(parseMoney(text)).toEqual(money(micros, usd))
})

test.each([
  '',
  '12.34',
  'USD',
  '1,5 USD',
  '1. USD',
  '.5 USD',
  '1e3 USD',
  '+1 USD',
  '1 usd',
  '1 US',
  'NaN USD',
  '--1 USD',
])('%j is no amount', (text) => {
  expect(() => parseMoney(text)).toThrow(AmountInvalidError)
})

test('what is finer than a micro-unit is refused, never rounded', () => {
  expect(() => parseMoney('0.0000001 USD')).toThrow(/0\.0000001 USD/)
})

test('every amount survives being written and read, and keeps at least two decimals', () => {
  const code = fc.stringMatching(/^[A-Z][A-Z0-9]{2,7}$/)
  fc.assert(
    fc.property(fc.bigInt({ min: -(10n ** 24n), max: 10n ** 24n }), code, (micros, of) => {
      const amount = money(micros, currency(of))
      const text = formatMoney(amount)
      expect(parseMoney(text)).toEqual(amount)
      expect(text).toMatch(/^-?\d+\.\d{2,6} /)
    }),
  )
})

test.each(['usd', 'US', 'TOOLONGCODE', '1USD', 'US/', ''])('%j is no currency', (text) => {
  expect(() => currency(text)).toThrow(AmountInvalidError)
})
