import fc from 'fast-check'
import { expect, test } from 'vitest'
import { judgeListed } from './listed-probe.ts'
import { judgeProbe, takeProbe } from './quality-guard.ts'

const count = 40
const logits = fc.array(fc.double({ min: -6, max: 6, noNaN: true }), { minLength: count, maxLength: count })

/** The `size` likeliest tokens of a row. */
function listed(row: readonly number[], size: number) {
  const total = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0))
  return row
    .map((logit, token) => ({ token, logprob: logit - total }))
    .sort((a, b) => b.logprob - a.logprob || a.token - b.token)
    .slice(0, size)
}

test('complete lists diverge as all logits do, shorter ones never more', () => {
  fc.assert(
    fc.property(logits, logits, fc.integer({ min: 1, max: count }), (p, q, size) => {
      const full = judgeProbe(takeProbe(Float32Array.from(p), count), Float32Array.from(q))
      const all = judgeListed(listed(p, count), listed(q, count))
      expect(all.kl).toBeCloseTo(full.kl, 3)
      const some = judgeListed(listed(p, size), listed(q, size))
      expect(some.kl).toBeLessThan(full.kl + 1e-3)
      expect(some.kl).toBeGreaterThan(-1e-9)
    }),
  )
})

test('the same passes, another likeliest token only within the margin', () => {
  const row = (first: number) => [first, 5, 1, 0]
  const exact = listed(row(5.3), 4)
  expect(judgeListed(exact, exact)).toMatchObject({ topAgrees: true, passes: true })
  expect(judgeListed(exact, listed(row(4.9), 4)).topAgrees).toBe(true)
  expect(judgeListed(listed(row(5.6), 4), listed(row(4.9), 4)).topAgrees).toBe(false)
  expect(judgeListed(exact, [{ token: 9, logprob: -0.01 }]).passes).toBe(false)
  expect(judgeListed(exact, []).passes).toBe(false)
  expect(judgeListed(exact, [{ token: 0, logprob: Number.NaN }]).passes).toBe(false)
})
