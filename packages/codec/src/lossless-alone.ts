import type { BitReader } from './bit-stream.ts'
import { TILE_TOKENS } from './expectation.ts'
import { halfValues, toHalf, widenHalves } from './half.ts'
import { MAX_SCALE, readHalf, scaleOf } from './half-steps.ts'
import type { KvShape } from './kv-matrix.ts'
import { finite, type Plan } from './lossless-plan.ts'

/** Flag beside a scale: expect what the token before had. */
const DELTA = 128

/** Expects the channel's mean or the token before, whichever is nearer. */
export function planAlone({ tokens, channels }: KvShape, halves: Uint16Array): Plan {
  const numbers = widenHalves(halves)
  const means = meansOf(numbers, tokens, channels)
  const centres = widenHalves(means)
  const fromMean = new Float64Array(channels)
  const fromBefore = new Float64Array(channels)
  const before = centres.slice()
  for (let first = 0, place = 0; first < tokens; first += TILE_TOKENS) {
    const count = Math.min(TILE_TOKENS, tokens - first)
    for (let at = 0; at < channels; at += 1) {
      const mean = centres[at]!
      let last = before[at]!
      let [sum, sumBefore] = [0, 0]
      for (const end = place + count; place < end; place += 1) {
        const value = numbers[place]!
        sum += finite(Math.abs(value - mean))
        sumBefore += finite(Math.abs(value - last))
        last = value
      }
      before[at] = last
      fromMean[at]! += sum
      fromBefore[at]! += sumBefore
    }
  }
  const scales = Uint8Array.from(fromMean, (sum, at) => {
    const delta = fromBefore[at]! < sum
    return scaleOf(Math.min(sum, fromBefore[at]!) / tokens) | (delta ? DELTA : 0)
  })
  return { scales, means, expected: expectedAlone(numbers, centres, scales, tokens) }
}

function meansOf(numbers: Float32Array, tokens: number, channels: number): Uint16Array {
  const sums = new Float64Array(channels)
  for (let first = 0, place = 0; first < tokens; first += TILE_TOKENS) {
    const count = Math.min(TILE_TOKENS, tokens - first)
    for (let at = 0; at < channels; at += 1) {
      let sum = 0
      for (const end = place + count; place < end; place += 1) sum += finite(numbers[place]!)
      sums[at]! += sum
    }
  }
  return Uint16Array.from(sums, (sum) => toHalf(sum / tokens))
}

function expectedAlone(
  numbers: Float32Array,
  centres: Float32Array,
  scales: Uint8Array,
  tokens: number,
): Float32Array {
  const expected = new Float32Array(numbers.length)
  const before = centres.slice()
  for (let first = 0, place = 0; first < tokens; first += TILE_TOKENS) {
    const count = Math.min(TILE_TOKENS, tokens - first)
    for (let at = 0; at < scales.length; at += 1, place += count) {
      if (scales[at]! < DELTA) {
        expected.fill(centres[at]!, place, place + count)
        continue
      }
      expected[place] = before[at]!
      for (let next = place + 1; next < place + count; next += 1) expected[next] = numbers[next - 1]!
      before[at] = numbers[place + count - 1]!
    }
  }
  return expected
}

export function decodeAlone(
  { tokens, channels }: KvShape,
  { scales, means }: Pick<Plan, 'scales' | 'means'>,
  symbols: Uint8Array,
  bits: BitReader,
): Uint16Array<ArrayBuffer> {
  const values = new Uint16Array(tokens * channels)
  for (let first = 0; first < tokens; first += TILE_TOKENS) {
    const count = Math.min(TILE_TOKENS, tokens - first)
    for (let at = 0; at < channels; at += 1) {
      const scale = scales[at]! & MAX_SCALE
      const delta = scales[at]! >= DELTA
      let index = first * channels + at
      let expected = halfValues[delta && first > 0 ? values[index - channels]! : means[at]!]!
      for (let token = 0; token < count; token += 1, index += channels) {
        const half = readHalf(bits, symbols[index]!, expected, scale)
        values[index] = half
        if (delta) expected = halfValues[half]!
      }
    }
  }
  return values
}
