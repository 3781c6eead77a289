import fc from 'fast-check'
import { expect, test } from 'vitest'
import { chargedPrices, costOf, largestCost, type TokenPrices } from './prices.ts'

const price = (microUnits: number | string) => ({ currency: 'USD', microUnits: String(microUnits) })
const prices = (prompt: number, cached: number, completion: number): TokenPrices => ({
  promptPerMillion: price(prompt),
  cachedPromptPerMillion: price(cached),
  completionPerMillion: price(completion),
})

test('cached prompt tokens have a price of their own, and parts of a millionth count as one', () => {
  // 0.50 USD and 0.10 USD per million of prompt, 2 USD per million of completion.
  const list = prices(500_000, 100_000, 2_000_000)
  const counts = { promptTokens: 1000, cachedPromptTokens: 400, completionTokens: 250 }
  // 600 * 0.5 + 400 * 0.1 + 250 * 2 = 840 millionths.
  expect(costOf(list, counts)).toEqual(price(840))
  expect(costOf(list, { ...counts, cachedPromptTokens: 399 })).toEqual(price(841))
  expect(costOf(list, { promptTokens: 0, cachedPromptTokens: 0, completionTokens: 0 })).toEqual(price(0))
})

test('the most a request can cost takes nothing for cached and every token asked for', () => {
  expect(largestCost(prices(500_000, 100_000, 2_000_000), 1000, 4096)).toEqual(price(500 + 8192))
  expect(largestCost(prices(1, 0, 0), 1, 0)).toEqual(price(1))
})

test('free is no price, and prices of nothing', () => {
  expect(chargedPrices(null)).toBeNull()
  expect(chargedPrices(prices(0, 0, 0))).toBeNull()
  expect(chargedPrices(prices(0, 0, 1))).toEqual(prices(0, 0, 1))
})

test('no request costs more than was reserved for it', () => {
  const amount = fc.nat({ max: 1_000_000_000 })
  const tokens = fc.nat({ max: 1_000_000 })
  fc.assert(
    fc.property(
      amount,
      amount,
      amount,
      tokens,
      tokens,
      fc.double({ min: 0, max: 1, noNaN: true }),
      (p, c, o, prompt, most, part) => {
        const list = prices(p, c, o)
        const counts = {
          promptTokens: prompt,
          cachedPromptTokens: Math.floor(prompt * part),
          completionTokens: Math.floor(most * part),
        }
        const cost = BigInt(costOf(list, counts).microUnits)
        expect(cost <= BigInt(largestCost(list, prompt, most).microUnits)).toBe(true)
      },
    ),
  )
})
