import { LedgerInputError } from './input-errors.ts'
import { type Micros, micros } from './money.ts'

/**
 * Divides an amount in proportion to whole weights, to the last micro-unit: everyone gets the whole part of their
 * share, and the micro-units left over go one each to the largest remainders, the earlier of equal ones first.
 *
 * @returns as many amounts as weights; each less than one micro-unit off its exact share
 * @throws LedgerInputError if the amount is negative, a weight is no whole number from 0 on, or all are 0
 */
export function splitAmount(amount: Micros, weights: readonly number[]): readonly Micros[] {
  if (amount < 0n) throw new LedgerInputError('amount', amount, 'Split an amount from 0 on.')
  const wrong = weights.find((weight) => !Number.isSafeInteger(weight) || weight < 0)
  if (wrong !== undefined) throw new LedgerInputError('weight', wrong, 'Weights are whole numbers from 0 on.')
  const total = weights.reduce((sum, weight) => sum + BigInt(weight), 0n)
  if (total === 0n) throw new LedgerInputError('weights', `[${weights}]`, 'Give someone a share.')

  const shares = weights.map((weight) => amount * BigInt(weight))
  const parts = shares.map((share) => share / total)
  const left = Number(amount - parts.reduce((sum, part) => sum + part, 0n))
  const byRemainder = [...shares.keys()].sort(
    (a, b) => compare(shares[b]! % total, shares[a]! % total) || a - b,
  )
  for (const index of byRemainder.slice(0, left)) parts[index]! += 1n
  return parts.map(micros)
}

const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0)
