import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CodecInputError } from './errors.ts'
import { cachePasses, decideAfterProbe, judgeProbe, takeProbe } from './quality-guard.ts'

const logits = fc
  .array(fc.double({ min: -8, max: 8, noNaN: true }), { minLength: 100, maxLength: 100 })
  .map((values) => Float32Array.from(values))

function fullKl(p: Float32Array, q: Float32Array): number {
  const normal = (row: Float32Array) => {
    const sum = row.reduce((all, logit) => all + Math.exp(logit), 0)
    return Array.from(row, (logit) => logit - Math.log(sum))
  }
  const [a, b] = [normal(p), normal(q)]
  return a.reduce((sum, value, index) => sum + Math.exp(value) * (value - b[index]!), 0)
}

test('the same logits pass; the divergence is never more than the full one', () => {
  fc.assert(
    fc.property(logits, logits, (p, q) => {
      expect(judgeProbe(takeProbe(p), p)).toMatchObject({ topAgrees: true, passes: true })
      const { kl } = judgeProbe(takeProbe(p), q)
      expect(kl).toBeGreaterThanOrEqual(-1e-5)
      expect(kl).toBeLessThanOrEqual(fullKl(p, q) + 1e-5)
    }),
  )
})

test('with the whole vocabulary in the probe the divergence is exact', () => {
  const p = Float32Array.from([1, 2, 3])
  const q = Float32Array.from([1.5, 2, 2])
  expect(judgeProbe(takeProbe(p), q).kl).toBeCloseTo(fullKl(p, q), 6)
})

test('another likeliest token is forgiven only within the margin', () => {
  const near = takeProbe(Float32Array.from([2, 1.95, 0]))
  expect(judgeProbe(near, Float32Array.from([1.97, 1.98, 0]))).toMatchObject({
    topAgrees: true,
    passes: true,
  })
  const far = takeProbe(Float32Array.from([2, 1.4, 0]))
  expect(judgeProbe(far, Float32Array.from([1.7, 1.71, 0]))).toMatchObject({
    topAgrees: false,
    passes: false,
  })
})

test('a ruined cache does not pass', () => {
  const probe = takeProbe(Float32Array.from([1, 2, 3]))
  expect(judgeProbe(probe, Float32Array.from([Number.NaN, Number.NaN, Number.NaN])).passes).toBe(false)
  expect(() => judgeProbe({ ...probe, tokens: Int32Array.from([7, 1, 0]) }, new Float32Array(3))).toThrow(
    CodecInputError,
  )
})

test('single probes may diverge more than all of them together', () => {
  const probe = (kl: number) => ({ kl, topAgrees: true, passes: kl <= 0.1 })
  expect(cachePasses([probe(0.03), probe(0), probe(0), probe(0)])).toBe(true)
  expect(cachePasses([probe(0.05), probe(0), probe(0), probe(0)])).toBe(false)
  expect(cachePasses([probe(0.11), ...Array.from({ length: 40 }, () => probe(0))])).toBe(false)
  expect(cachePasses([probe(Number.NaN)])).toBe(false)
  expect(() => cachePasses([])).toThrow(CodecInputError)
})

test('the worst blocks are asked for again, then everything without loss', () => {
  const bad = [{ kl: 0.5, topAgrees: true, passes: false }]
  const blocks = [
    { id: 'a', harm: 1, upgradeBytes: 100 },
    { id: 'b', harm: 8, upgradeBytes: 100 },
    { id: 'c', harm: 3, upgradeBytes: 100 },
  ]
  expect(decideAfterProbe([{ kl: 0, topAgrees: true, passes: true }], blocks, 0)).toEqual({
    action: 'accept',
  })
  expect(decideAfterProbe(bad, blocks, 0)).toEqual({ action: 'upgrade', blocks: ['b'] })
  expect(decideAfterProbe(bad, blocks, 2)).toEqual({ action: 'lossless', blocks: ['b', 'c', 'a'] })
})
