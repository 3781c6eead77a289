import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { contentId } from './checksum.ts'
import { toHalf } from './half.ts'
import { fitChannelModel } from './innovation.ts'
import { decodeLossless, encodeLossless } from './lossless.ts'
import type { LosslessContext } from './lossless-modelled.ts'

const anyMatrix = fc
  .tuple(
    fc.integer({ min: 1, max: 19 }),
    fc.integer({ min: 1, max: 4 }).map((heads) => heads * 8),
  )
  .chain(([tokens, channels]) =>
    fc
      .array(fc.integer({ min: 0, max: 65_535 }), {
        minLength: tokens * channels,
        maxLength: tokens * channels,
      })
      .map((values) => ({ tokens, channels, values: Uint16Array.from(values) })),
  )

function contextOf(channels: number, rotated: boolean, span = 8): LosslessContext {
  const covariance = new Float64Array(channels * channels)
  for (let row = 0; row < channels; row += 1)
    for (let column = 0; column < channels; column += 1)
      covariance[row * channels + column] = 0.5 ** Math.abs(row - column)
  const order = Uint32Array.from({ length: channels }, (_, channel) => channel)
  const rotary = rotated
    ? { headDim: 8, first: 0, pairs: 'interleaved' as const, frequencies: [1, 0.05, 0.003], magnitude: 1.1 }
    : null
  return {
    model: fitChannelModel(new Float64Array(channels), covariance, span, order),
    rotary,
    firstPosition: 900,
  }
}

describe('lossless', () => {
  test('any halves come back bit by bit, NaN, infinities and negative zero among them', () => {
    fc.assert(
      fc.property(anyMatrix, fc.constantFrom('alone', 'values', 'keys'), (matrix, how) => {
        const context = how === 'alone' ? null : contextOf(matrix.channels, how === 'keys')
        const bytes = encodeLossless(matrix, context)
        expect(decodeLossless(bytes, matrix, context)).toEqual(matrix.values)
      }),
      { numRuns: 300 },
    )
  })

  test('so they do where pairs lie across the spans of a model', () => {
    for (const span of [1, 3, 24]) {
      const context = contextOf(24, true, span)
      const values = Uint16Array.from({ length: 11 * 24 }, (_, index) => toHalf(Math.sin(index) + 1))
      const matrix = { tokens: 11, channels: 24, values }
      expect(decodeLossless(encodeLossless(matrix, context), matrix, context)).toEqual(values)
    }
  })

  test('the same halves are the same bytes on every machine', () => {
    const values = Uint16Array.from({ length: 13 * 16 }, (_, index) => 0x3000 + ((index * 7919) % 0x1000))
    const matrix = { tokens: 13, channels: 16, values }
    expect(contentId(encodeLossless(matrix, contextOf(16, true)))).toBe('90f4798351f041da')
    expect(contentId(encodeLossless(matrix, null))).toBe('27eb79c9ef4ebc47')
  })

  test('every half is said and read, whatever the scale of its channel', () => {
    for (const spread of [0, 2 ** -20, 2 ** -3, 1, 100, 60_000]) {
      const values = Uint16Array.from({ length: 65_536 + 4 * 4096 }, (_, index) =>
        index < 65_536 ? index : toHalf(spread * ((index % 7) - 3)),
      )
      for (let first = 0; first < values.length; first += 4096) {
        const matrix = { tokens: 4096, channels: 1, values: values.subarray(first, first + 4096) }
        expect(decodeLossless(encodeLossless(matrix, null), matrix, null)).toEqual(matrix.values)
      }
    }
  })
})
