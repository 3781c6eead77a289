import { ByteReader, ByteWriter } from './byte-cursor.ts'
import { CodecInputError, CorruptBlockError } from './errors.ts'
import { halfValues, toHalf } from './half.ts'
import type { KvShape } from './kv-matrix.ts'

/** Values that share a scale. */
export const GROUP = 64

/** Values of a group: `count` of them, `stride` apart from `first`. */
interface Group {
  readonly first: number
  readonly stride: number
  readonly count: number
}

/** Groups of 64 tokens of one channel, or of 64 channels of one token; the last ones may be smaller. */
function groupsOf({ tokens, channels }: KvShape, along: 'tokens' | 'channels'): readonly Group[] {
  const groups: Group[] = []
  const [outer, inner] = along === 'tokens' ? [channels, tokens] : [tokens, channels]
  for (let line = 0; line < outer; line += 1) {
    for (let start = 0; start < inner; start += GROUP) {
      const count = Math.min(GROUP, inner - start)
      groups.push(
        along === 'tokens'
          ? { first: start * channels + line, stride: channels, count }
          : { first: line * channels + start, stride: 1, count },
      )
    }
  }
  return groups
}

/**
 * Whole numbers of `bits` bits with one half as scale for each group.
 *
 * @throws CodecInputError if a value is not finite
 */
export function encodeGroups(
  values: Float32Array,
  shape: KvShape,
  along: 'tokens' | 'channels',
  bits: 4 | 8,
): Uint8Array<ArrayBuffer> {
  const groups = groupsOf(shape, along)
  const scales = new Uint16Array(groups.length)
  const codes = new Uint8Array(Math.ceil((values.length * bits) / 8))
  const reach = 2 ** (bits - 1) - 1
  let at = 0
  for (const [index, { first, stride, count }] of groups.entries()) {
    let largest = 0
    for (let k = 0; k < count; k += 1) largest = Math.max(largest, Math.abs(values[first + k * stride]!))
    if (!(largest < 65_504))
      throw new CodecInputError(
        'Only finite values can be rounded to few bits.',
        'Send the block without loss.',
      )
    scales[index] = toHalf(largest / reach)
    const scale = halfValues[scales[index]!]!
    for (let k = 0; k < count; k += 1) {
      const steps = scale > 0 ? Math.round(values[first + k * stride]! / scale) : 0
      putCode(codes, at, bits, Math.max(-reach, Math.min(reach, steps)) + reach)
      at += 1
    }
  }
  return new ByteWriter().halves(scales).append(codes).done()
}

/** @throws CorruptBlockError if the bytes do not fit the shape */
export function decodeGroups(
  bytes: Uint8Array,
  shape: KvShape,
  along: 'tokens' | 'channels',
  bits: 4 | 8,
): Float32Array {
  const groups = groupsOf(shape, along)
  const size = shape.tokens * shape.channels
  const reader = new ByteReader(bytes)
  const scales = reader.halves(groups.length)
  const codes = reader.slice(Math.ceil((size * bits) / 8))
  if (reader.remaining !== 0) throw new CorruptBlockError(`${reader.remaining} bytes follow the last group.`)
  const values = new Float32Array(size)
  const reach = 2 ** (bits - 1) - 1
  let at = 0
  for (const [index, { first, stride, count }] of groups.entries()) {
    const scale = halfValues[scales[index]!]!
    for (let k = 0; k < count; k += 1) {
      values[first + k * stride] = (getCode(codes, at, bits) - reach) * scale
      at += 1
    }
  }
  return values
}

function putCode(codes: Uint8Array, at: number, bits: 4 | 8, code: number): void {
  if (bits === 8) codes[at] = code
  else codes[at >> 1] = codes[at >> 1]! | (code << (4 * (at & 1)))
}

function getCode(codes: Uint8Array, at: number, bits: 4 | 8): number {
  return bits === 8 ? codes[at]! : (codes[at >> 1]! >> (4 * (at & 1))) & 15
}

/** Turns each run of `size` values in place by the orthonormal Walsh–Hadamard matrix, its own inverse. */
export function turnHadamard(values: Float32Array, size: number): void {
  const norm = 1 / Math.sqrt(size)
  for (let start = 0; start < values.length; start += size) {
    for (let half = 1; half < size; half *= 2) {
      for (let pair = start; pair < start + size; pair += 2 * half) {
        for (let k = pair; k < pair + half; k += 1) {
          const x = values[k]!
          const y = values[k + half]!
          values[k] = x + y
          values[k + half] = x - y
        }
      }
    }
    for (let k = start; k < start + size; k += 1) values[k] = values[k]! * norm
  }
}

/** The largest power of two up to a group that divides the channels. */
export function hadamardSize(channels: number): number {
  let size = 1
  while (size < GROUP && channels % (2 * size) === 0) size *= 2
  return size
}
