import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LedgerInputError } from './input-errors.ts'
import { currency, formatMoney, micros } from './money.ts'
import { chargeFor, maximalPrice, type PriceList } from './prices.ts'

const prices: PriceList = {
  currency: currency('USD'),
  promptMicrosPerMillion: micros(150_000n),
  cachedMicrosPerMillion: micros(75_000n),
  completionMicrosPerMillion: micros(600_000n),
}

test('a charge worked out by hand', () => {
  // 600 × 0.15 + 400 × 0.075 + 200 × 0.60 = 90 + 30 + 120 micro-units
  const charge = chargeFor(prices, { promptTokens: 1_000, cachedTokens: 400, completionTokens: 200 })
  expect(formatMoney(charge)).toBe('0.00024 USD')
})

test('a fraction of a micro-unit is rounded up, once for the whole request', () => {
  // 0.15 + 0.075 + 0.60 = 0.825
  expect(chargeFor(prices, { promptTokens: 2, cachedTokens: 1, completionTokens: 1 }).micros).toBe(1n)
  expect(chargeFor(prices, { promptTokens: 0, cachedTokens: 0, completionTokens: 0 }).micros).toBe(0n)
  expect(chargeFor(prices, { promptTokens: 20, cachedTokens: 0, completionTokens: 0 }).micros).toBe(3n)
})

const somePrices = fc.tuple(...Array.from({ length: 3 }, () => fc.bigInt({ min: 0n, max: 10n ** 9n }))).map(
  ([prompt, cached, completion]): PriceList => ({
    currency: currency('USD'),
    promptMicrosPerMillion: micros(prompt!),
    cachedMicrosPerMillion: micros(cached!),
    completionMicrosPerMillion: micros(completion!),
  }),
)

test('no request costs more than its maximal price, and one that uses everything costs just that', () => {
  const count = fc.nat(2_000_000)
  fc.assert(
    fc.property(somePrices, count, count, count, count, (list, promptTokens, max, cached, completed) => {
      const bound = maximalPrice(list, { promptTokens, maxCompletionTokens: max })
      const cachedTokens = cached % (promptTokens + 1)
      const completionTokens = completed % (max + 1)
      const charge = chargeFor(list, { promptTokens, cachedTokens, completionTokens })
      expect(charge.micros <= bound.micros).toBe(true)
      const dearest = [0, promptTokens].map(
        (tokens) => chargeFor(list, { promptTokens, cachedTokens: tokens, completionTokens: max }).micros,
      )
      expect(dearest).toContain(bound.micros)
    }),
  )
})

test('a charge differs from the exact sum by less than a micro-unit', () => {
  const count = fc.nat(2_000_000)
  fc.assert(
    fc.property(somePrices, count, count, count, (list, fresh, cachedTokens, completionTokens) => {
      const { micros: charge } = chargeFor(list, {
        promptTokens: fresh + cachedTokens,
        cachedTokens,
        completionTokens,
      })
      const exact =
        BigInt(fresh) * list.promptMicrosPerMillion +
        BigInt(cachedTokens) * list.cachedMicrosPerMillion +
        BigInt(completionTokens) * list.completionMicrosPerMillion
      const over = charge * 1_000_000n - exact
      expect(over >= 0n && over < 1_000_000n).toBe(true)
    }),
  )
})

test.each([
  [{ promptTokens: -1, cachedTokens: 0, completionTokens: 0 }, /promptTokens/],
  [{ promptTokens: 1, cachedTokens: 2, completionTokens: 0 }, /cachedTokens/],
  [{ promptTokens: 1, cachedTokens: 0, completionTokens: 0.5 }, /completionTokens/],
  [{ promptTokens: Number.NaN, cachedTokens: 0, completionTokens: 0 }, /promptTokens/],
])('usage %j is refused', (usage, field) => {
  expect(() => chargeFor(prices, usage)).toThrow(field)
})

test('a negative price is refused', () => {
  const wrong = { ...prices, completionMicrosPerMillion: micros(-1n) }
  expect(() => maximalPrice(wrong, { promptTokens: 1, maxCompletionTokens: 1 })).toThrow(LedgerInputError)
})
