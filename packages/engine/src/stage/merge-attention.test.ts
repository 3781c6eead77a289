import fc from 'fast-check'
import { expect, test } from 'vitest'
import { mergeAttention } from './merge-attention.ts'

const valueDim = 3

/** Softmax attention of one row and head, one number at a time. */
function attend(scores: readonly number[], values: readonly (readonly number[])[], sink: number | null) {
  const largest = Math.max(...scores, sink ?? Number.NEGATIVE_INFINITY)
  const weights = scores.map((score) => Math.exp(score - largest))
  const visible = weights.reduce((sum, weight) => sum + weight, 0)
  const total = visible + (sink === null ? 0 : Math.exp(sink - largest))
  const sums = Array.from({ length: valueDim }, (_, dim) =>
    values.reduce((sum, value, index) => sum + weights[index]! * value[dim]!, 0),
  )
  return { sums, visible, total, logSum: largest + Math.log(visible) }
}

const score = fc.double({ min: -40, max: 40, noNaN: true })
const value = fc.array(fc.double({ min: -2, max: 2, noNaN: true }), {
  minLength: valueDim,
  maxLength: valueDim,
})
const position = fc.tuple(score, value, fc.nat({ max: 2 }))

test('parts of the positions, put together, are attention to all of them', () => {
  const positions = fc.array(position, { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(positions, fc.option(score), (all, sink) => {
      const whole = attend(
        all.map(([each]) => each),
        all.map(([, each]) => each),
        sink,
      )
      const parts = [0, 1, 2].map((rank) => {
        const own = all.filter(([, , part]) => part === rank)
        // As the graph has it: a part without a position gives anything, and a sum far below all others.
        if (own.length === 0) return { values: new Float32Array([7, 7, 7]), logSum: () => -1e30 }
        const { sums, visible, logSum } = attend(
          own.map(([each]) => each),
          own.map(([, each]) => each),
          null,
        )
        return { values: Float32Array.from(sums, (sum) => sum / visible), logSum: () => logSum }
      })
      const sinks = sink === null ? null : Float32Array.of(sink)
      const merged = mergeAttention(parts, [0], { heads: 1, valueDim }, sinks)
      for (const [dim, sum] of whole.sums.entries()) expect(merged[dim]).toBeCloseTo(sum / whole.total, 4)
    }),
  )
})

test('only the rows asked for are put together, each from its own place', () => {
  const part = (offset: number) => ({
    values: Float32Array.from({ length: 4 * 2 * valueDim }, (_, index) => index + offset),
    logSum: (row: number, head: number) => (row === 2 && head === 1 ? 5 : 0),
  })
  const merged = mergeAttention([part(0), part(100)], [3, 2], { heads: 2, valueDim }, null)
  const expected = [3, 2].flatMap((row) =>
    Array.from({ length: 2 * valueDim }, (_, index) => row * 2 * valueDim + index + 50),
  )
  expect([...merged]).toEqual(expected)
})
