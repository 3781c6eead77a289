import {
  halfValues,
  type KvPart,
  multiplyTransposed,
  narrowToHalves,
  type RotaryOf,
  rotateKeys,
  symmetricEigen,
  toHalf,
  turnHadamard,
  widenHalves,
} from '@deos/codec'
import { cacheGenCoder } from './cache-gen.ts'
import type { CacheLab, ContextCache } from './cache-lab.ts'
import type { Method } from './ladder.ts'

/** What one matrix `[tokens, channels]` becomes, in place, and the bits it took. */
export type MatrixCoder = (values: Float32Array, part: KvPart) => number

const HALF_BITS = 16
/** Of a block of ours with K and V of one layer and no tools: what it is of, lengths, checksum. */
const HEADER_BYTES = 45

/** Rounds to what a half holds, as every scale on the wire is. */
const asHalf = (value: number): number => halfValues[toHalf(value)]!

/** Symmetric whole numbers with a scale for each 64 channels of a token. */
const symmetric =
  (bits: number): MatrixCoder =>
  (values) => {
    const reach = 2 ** (bits - 1) - 1
    for (let start = 0; start < values.length; start += 64) {
      const group = values.subarray(start, start + 64)
      const scale = asHalf(group.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / reach)
      for (const [index, value] of group.entries())
        group[index] = scale > 0 ? Math.max(-reach, Math.min(reach, Math.round(value / scale))) * scale : 0
    }
    return values.length * bits + (values.length / 64) * HALF_BITS
  }

const hadamard =
  (bits: number): MatrixCoder =>
  (values, part) => {
    turnHadamard(values, 64)
    const size = symmetric(bits)(values, part)
    turnHadamard(values, 64)
    return size
  }

/**
 * Groups of 32: of tokens for keys, of channels for values, with a least value and a step.
 *
 * @param whole - last tokens that are sent as they are
 */
const kivi =
  (bits: number, whole: number): MatrixCoder =>
  (values, { part, channels }) => {
    const group = 32
    const tokens = values.length / channels - whole
    if (tokens % group !== 0) throw new RangeError(`${tokens} tokens are not whole groups of ${group}.`)
    const [lines, length, lineStride, stride] =
      part === 'k' ? [channels, tokens, 1, channels] : [tokens, channels, channels, 1]
    for (let line = 0; line < lines; line += 1)
      for (let start = 0; start < length; start += group)
        roundBetween(values, line * lineStride + start * stride, stride, group, bits)
    return whole * channels * 16 + tokens * channels * (bits + (2 * HALF_BITS) / group)
  }

function roundBetween(
  values: Float32Array,
  first: number,
  stride: number,
  count: number,
  bits: number,
): void {
  let least = Number.POSITIVE_INFINITY
  let most = Number.NEGATIVE_INFINITY
  for (let k = 0; k < count; k += 1) {
    least = Math.min(least, values[first + k * stride]!)
    most = Math.max(most, values[first + k * stride]!)
  }
  const floor = asHalf(least)
  const step = asHalf((most - floor) / (2 ** bits - 1))
  for (let k = 0; k < count; k += 1) {
    const at = first + k * stride
    const code = step > 0 ? Math.max(0, Math.min(2 ** bits - 1, Math.round((values[at]! - floor) / step))) : 0
    values[at] = floor + code * step
  }
}

/**
 * The best two factors of one rank for this chunk alone; keys before their positions.
 *
 * @param bits - of each number of the factors: 16 for halves, else whole numbers with a scale for each component
 */
const ownSvd =
  (rank: number, rotary: RotaryOf, bits: 8 | 16): MatrixCoder =>
  (values, { layer, part, channels }) => {
    const tokens = values.length / channels
    const turning = part === 'k' ? rotary(layer) : null
    const positions = Float64Array.from({ length: tokens }, (_, position) => position)
    if (turning) rotateKeys(values, positions, turning, 'unrotate')
    const gram = new Float64Array(channels * channels)
    for (let row = 0; row < values.length; row += channels)
      for (let i = 0; i < channels; i += 1)
        for (let j = 0; j < channels; j += 1) gram[i * channels + j]! += values[row + i]! * values[row + j]!
    const vectors = symmetricEigen(gram, channels).vectors
    const right = roundedRows(Float32Array.from(vectors.subarray(0, rank * channels)), channels, bits)
    // `[rank, tokens]`
    const left = roundedRows(multiplyTransposed(right, values, channels), tokens, bits)
    values.set(multiplyTransposed(transposed(left, tokens), transposed(right, channels), rank))
    if (turning) rotateKeys(values, positions, turning, 'rotate')
    return rank * (tokens + channels) * bits + (bits === 8 ? 2 * rank * HALF_BITS : 0)
  }

function roundedRows(matrix: Float32Array, columns: number, bits: 8 | 16): Float32Array {
  if (bits === 16) return matrix.map(asHalf)
  for (let start = 0; start < matrix.length; start += columns) {
    const row = matrix.subarray(start, start + columns)
    const scale = asHalf(row.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127) || 1
    for (const [index, value] of row.entries()) row[index] = Math.round(value / scale) * scale
  }
  return matrix
}

function transposed(matrix: Float32Array, columns: number): Float32Array {
  const rows = matrix.length / columns
  return Float32Array.from(matrix, (_, index) => matrix[(index % rows) * columns + Math.floor(index / rows)]!)
}

/** Every method the codec is compared with, on the same caches, with as many bytes of header for each layer as ours have. */
export function alternatives(
  lab: CacheLab,
  rotary: RotaryOf,
  calibration: readonly ContextCache[],
): readonly Method[] {
  const named: readonly (readonly [string, MatrixCoder])[] = [
    ['int8', symmetric(8)],
    ['int4', symmetric(4)],
    ['hadamardInt4', hadamard(4)],
    ['hadamardInt3', hadamard(3)],
    ['kivi4', kivi(4, 32)],
    ['kivi2', kivi(2, 32)],
    ['kivi4NoneWhole', kivi(4, 0)],
    ['kivi2NoneWhole', kivi(2, 0)],
    ...[16, 32, 64].map((rank) => [`svdRank${rank}`, ownSvd(rank, rotary, 16)] as const),
    ...[32, 64].map((rank) => [`svdRank${rank}Int8`, ownSvd(rank, rotary, 8)] as const),
    ...[0.125, 0.25, 0.5, 1].map(
      (bin) => [`cacheGen${bin}`, cacheGenCoder(calibration, lab.channels, bin)] as const,
    ),
  ]
  return named.map(([name, coder]) => ({
    ...{ name, family: name, toolBytes: 0 },
    send: (cache) => {
      let bits = 8 * HEADER_BYTES * cache.length
      const arrived = cache.map((layer, index) => {
        const part = (name: 'k' | 'v') => {
          const values = widenHalves(layer[name])
          bits += coder(values, { layer: index, part: name, channels: lab.channels })
          return narrowToHalves(values)
        }
        return { k: part('k'), v: part('v') }
      })
      return { cache: arrived, bytes: bits / 8, encodeMs: 0, decodeMs: 0 }
    },
  }))
}
