import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LedgerInputError } from './input-errors.ts'
import { micros } from './money.ts'
import { splitAmount } from './split.ts'

test.each([
  [100n, [80, 20], [80n, 20n]],
  [100n, [1, 1, 1], [34n, 33n, 33n]],
  [101n, [1, 1, 1], [34n, 34n, 33n]],
  [1n, [1, 2], [0n, 1n]],
  [7n, [0, 5], [0n, 7n]],
  [0n, [3, 4], [0n, 0n]],
])('%d in proportion to %j is %o', (amount, weights, parts) => {
  expect(splitAmount(micros(amount), weights)).toEqual(parts)
})

test('nothing is lost, nobody is a micro-unit off, and who has no weight gets nothing', () => {
  const weights = fc.array(fc.oneof(fc.nat(20), fc.maxSafeNat()), { minLength: 1, maxLength: 12 })
  const given = weights.filter((all) => all.some((weight) => weight > 0))
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 10n ** 15n }), given, (amount, shares) => {
      const parts = splitAmount(micros(amount), shares)
      const total = shares.reduce((sum, weight) => sum + BigInt(weight), 0n)
      expect(parts).toHaveLength(shares.length)
      expect(parts.reduce((sum, part) => sum + part, 0n)).toBe(amount)
      for (const [index, part] of parts.entries()) {
        const off = part * total - amount * BigInt(shares[index]!)
        expect(off > -total && off < total).toBe(true)
        expect(part >= 0n && (shares[index] !== 0 || part === 0n)).toBe(true)
      }
    }),
  )
})

test.each([[[]], [[0, 0]], [[1, -1]], [[0.5]], [[Number.NaN]], [[Number.POSITIVE_INFINITY]]])(
  'weights %j are refused',
  (weights) => {
    expect(() => splitAmount(micros(10n), weights)).toThrow(LedgerInputError)
  },
)

test('a negative amount is refused', () => {
  expect(() => splitAmount(micros(-1n), [1])).toThrow(/amount cannot be -1/)
})
