import type { Money, RouteTarget } from '@deos/api'

export type TokenPrices = NonNullable<RouteTarget['prices']>

/** Tokens of one request. */
export interface TokenCounts {
  readonly promptTokens: number
  /** Those of the prompt that were not computed anew. */
  readonly cachedPromptTokens: number
  readonly completionTokens: number
}

/** Prices are stated for so many tokens. */
const PER = 1_000_000n

const rates = ({ promptPerMillion, cachedPromptPerMillion, completionPerMillion }: TokenPrices) => ({
  prompt: BigInt(promptPerMillion.microUnits),
  cached: BigInt(cachedPromptPerMillion.microUnits),
  completion: BigInt(completionPerMillion.microUnits),
})

/** Millionths of the currency's unit, rounded up once for the whole request. */
const roundUp = (microUnitsTimesMillion: bigint): string => String((microUnitsTimesMillion + PER - 1n) / PER)

/** Prices by which something is charged; `null` if there are none, or all of them are zero. */
export function chargedPrices(prices: TokenPrices | null): TokenPrices | null {
  if (prices === null) return null
  const { prompt, cached, completion } = rates(prices)
  return prompt === 0n && cached === 0n && completion === 0n ? null : prices
}

/** The most a request can cost. */
export function largestCost(prices: TokenPrices, promptTokens: number, mostTokens: number): Money {
  const { prompt, cached, completion } = rates(prices)
  const dearest = prompt > cached ? prompt : cached
  const total = dearest * BigInt(promptTokens) + completion * BigInt(mostTokens)
  return { currency: prices.promptPerMillion.currency, microUnits: roundUp(total) }
}

/** What a request costs. */
export function costOf(prices: TokenPrices, counts: TokenCounts): Money {
  const { prompt, cached, completion } = rates(prices)
  const total =
    prompt * BigInt(counts.promptTokens - counts.cachedPromptTokens) +
    cached * BigInt(counts.cachedPromptTokens) +
    completion * BigInt(counts.completionTokens)
  return { currency: prices.promptPerMillion.currency, microUnits: roundUp(total) }
}
