import fc from 'fast-check'
import { expect, test } from 'vitest'
import { guardRow, judgeGuard } from './guard.ts'

const logits = fc.array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: 2, maxLength: 120 })

test('the same logits pass with a divergence of nothing', () => {
  fc.assert(
    fc.property(logits, (values) => {
      const exact = Float32Array.from(values)
      const { passed, kl } = judgeGuard([guardRow(7, exact)], [exact])
      expect(Math.abs(kl)).toBeLessThan(1e-6)
      expect(passed).toBe(true)
    }),
  )
})

test('KL of two tokens by hand, and another top token', () => {
  // p = 0.8, 0.2 and q = 0.5, 0.5: 0.8 ln 1.6 + 0.2 ln 0.4 = 0.1927 nat.
  const exact = Float32Array.of(Math.log(4), 0)
  const even = judgeGuard([guardRow(0, exact)], [Float32Array.of(0, 0)])
  expect(even.kl).toBeCloseTo(0.1927, 4)
  expect(even).toMatchObject({ passed: false, differingTops: 1 })
})

test('with all other tokens in one bucket the divergence is never more than the whole one', () => {
  const pair = fc
    .integer({ min: 65, max: 200 })
    .chain((size) =>
      fc.tuple(
        ...[0, 1].map(() =>
          fc.array(fc.float({ min: -4, max: 4, noNaN: true }), { minLength: size, maxLength: size }),
        ),
      ),
    )
  fc.assert(
    fc.property(pair, (both) => {
      const [a, b] = both.map((values) => Float32Array.from(values)) as [Float32Array, Float32Array]
      const { kl } = judgeGuard([guardRow(0, a)], [b])
      const total = (values: Float32Array) => values.reduce((sum, value) => sum + Math.exp(value), 0)
      const whole = a.reduce((sum, value, token) => {
        const p = Math.exp(value) / total(a)
        return sum + p * Math.log(p / (Math.exp(b[token]!) / total(b)))
      }, 0)
      expect(kl).toBeLessThanOrEqual(whole + 1e-6)
      expect(kl).toBeGreaterThan(-1e-6)
    }),
  )
})

test('a near tie may fall the other way, NaN may not', () => {
  const exact = guardRow(0, Float32Array.of(1, 0.95, -3))
  expect(judgeGuard([exact], [Float32Array.of(0.97, 0.98, -3)]).passed).toBe(true)
  expect(judgeGuard([exact], [Float32Array.of(Number.NaN, 0, 0)]).passed).toBe(false)
  expect(() => judgeGuard([exact], [])).toThrow('1 exact rows')
  expect(() => judgeGuard([exact], [Float32Array.of(1)])).toThrow('beyond 1 logits')
})
