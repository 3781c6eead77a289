import { LedgerInputError } from './input-errors.ts'
import { type Currency, largestAmount, type Micros, type Money, money } from './money.ts'

/**
 * What a model costs. Prices are micro-units for a million tokens, so 0.15 USD for a million is `150_000n` and the
 * price of a single token needs no fraction of its own.
 */
export interface PriceList {
  readonly currency: Currency
  readonly promptMicrosPerMillion: Micros
  /** For prompt tokens found in a prefix cache. */
  readonly cachedMicrosPerMillion: Micros
  readonly completionMicrosPerMillion: Micros
}

export interface TokenUsage {
  /** The whole prompt, cached tokens included. */
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly completionTokens: number
}

/** What a request can come to at most. */
export interface TokenBound {
  readonly promptTokens: number
  readonly maxCompletionTokens: number
}

/**
 * The charge for a request. It is exact up to the end, where it is rounded up to a whole micro-unit once.
 *
 * @throws LedgerInputError if prices or counts make no sense
 */
export function chargeFor(prices: PriceList, usage: TokenUsage): Money {
  const { promptTokens, cachedTokens, completionTokens } = usage
  checkPrices(prices)
  for (const [field, count] of Object.entries({ promptTokens, cachedTokens, completionTokens })) {
    checkCount(field, count)
  }
  if (cachedTokens > promptTokens) {
    throw new LedgerInputError(
      'cachedTokens',
      cachedTokens,
      `Of ${promptTokens} prompt tokens no more can be cached.`,
    )
  }
  const millionths =
    BigInt(promptTokens - cachedTokens) * prices.promptMicrosPerMillion +
    BigInt(cachedTokens) * prices.cachedMicrosPerMillion +
    BigInt(completionTokens) * prices.completionMicrosPerMillion
  return money((millionths + 999_999n) / 1_000_000n, prices.currency)
}

/**
 * The most a request can cost, whatever is cached and however early it ends: what to reserve for it.
 *
 * @throws LedgerInputError if prices or counts make no sense
 */
export function maximalPrice(prices: PriceList, bound: TokenBound): Money {
  const cachedIsDearer = prices.cachedMicrosPerMillion > prices.promptMicrosPerMillion
  return chargeFor(prices, {
    promptTokens: bound.promptTokens,
    cachedTokens: cachedIsDearer ? bound.promptTokens : 0,
    completionTokens: bound.maxCompletionTokens,
  })
}

function checkPrices(prices: PriceList): void {
  const { promptMicrosPerMillion, cachedMicrosPerMillion, completionMicrosPerMillion } = prices
  const all = { promptMicrosPerMillion, cachedMicrosPerMillion, completionMicrosPerMillion }
  for (const [field, price] of Object.entries(all)) {
    if (price >= 0n && price <= largestAmount) continue
    throw new LedgerInputError(field, price, `Prices lie between 0 and ${largestAmount}.`)
  }
}

function checkCount(field: string, count: number): void {
  if (Number.isSafeInteger(count) && count >= 0) return
  throw new LedgerInputError(field, count, 'Counts of tokens are whole numbers from 0 on.')
}
