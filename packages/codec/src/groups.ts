import { ByteReader, ByteWriter } from './byte-cursor.ts'
import { CodecInputError, CorruptBlockError } from './errors.ts'
import { halfValues, toHalf, widenHalves } from './half.ts'
import type { KvShape } from './kv-matrix.ts'

/** Values that share a scale. */
export const GROUP = 64

/** How a matrix is cut: a group is 64 tokens of one channel, or 64 channels of one token; the last may be smaller. */
interface Grouping {
  readonly groups: number
  /** Group of a token's first channel. */
  readonly firstOf: (token: number) => number
  /** Group of each channel after that one. */
  readonly ofChannel: Uint16Array
}

function groupingOf({ tokens, channels }: KvShape, along: 'tokens' | 'channels'): Grouping {
  if (along === 'tokens')
    return {
      groups: channels * Math.ceil(tokens / GROUP),
      firstOf: (token) => channels * Math.floor(token / GROUP),
      ofChannel: Uint16Array.from({ length: channels }, (_, channel) => channel),
    }
  const ofToken = Math.ceil(channels / GROUP)
  return {
    groups: tokens * ofToken,
    firstOf: (token) => token * ofToken,
    ofChannel: Uint16Array.from({ length: channels }, (_, channel) => Math.floor(channel / GROUP)),
  }
}

/**
 * Whole numbers of `bits` bits with one half as scale for each group, in the order of the values.
 *
 * @throws CodecInputError if a value is not finite
 */
export function encodeGroups(
  values: Float32Array,
  shape: KvShape,
  along: 'tokens' | 'channels',
  bits: 4 | 8,
): Uint8Array<ArrayBuffer> {
  const { tokens, channels } = shape
  const { firstOf, ofChannel, groups } = groupingOf(shape, along)
  const largest = largestOf(values, shape, along)
  const reach = 2 ** (bits - 1) - 1
  const scales = Uint16Array.from(largest, (value) => toHalf(value / reach))
  const inverses = Float64Array.from(scales, (scale) => (scale > 0 ? 1 / halfValues[scale]! : 0))
  const codes = new Uint8Array(values.length)
  // Half a step more than the code of 0, since what follows the point is cut off.
  const middle = reach + 0.5
  const most = 2 * reach
  for (let token = 0, index = 0; token < tokens; token += 1) {
    const first = firstOf(token)
    for (let channel = 0; channel < channels; channel += 1, index += 1) {
      const code = (values[index]! * inverses[first + ofChannel[channel]!]! + middle) | 0
      codes[index] = code > most ? most : code < 0 ? 0 : code
    }
  }
  const writer = new ByteWriter(2 * groups + codes.length).halves(scales)
  return writer.append(bits === 8 ? codes : paired(codes)).done()
}

/** Largest magnitude of each group. */
function largestOf(values: Float32Array, shape: KvShape, along: 'tokens' | 'channels'): Float32Array {
  const { tokens, channels } = shape
  const { firstOf, ofChannel, groups } = groupingOf(shape, along)
  const largest = new Float32Array(groups)
  let nothing = 0
  for (let token = 0, index = 0; token < tokens; token += 1) {
    const first = firstOf(token)
    for (let channel = 0; channel < channels; channel += 1, index += 1) {
      const magnitude = Math.abs(values[index]!)
      nothing += magnitude - magnitude
      const group = first + ofChannel[channel]!
      if (magnitude > largest[group]!) largest[group] = magnitude
    }
  }
  if (nothing !== 0 || largest.some((value) => value >= 65_504))
    throw new CodecInputError(
      'Only finite values can be rounded to few bits.',
      'Send the block without loss.',
    )
  return largest
}

/** @throws CorruptBlockError if the bytes do not fit the shape */
export function decodeGroups(
  bytes: Uint8Array,
  shape: KvShape,
  along: 'tokens' | 'channels',
  bits: 4 | 8,
): Float32Array {
  const { tokens, channels } = shape
  const { firstOf, ofChannel, groups } = groupingOf(shape, along)
  const reader = new ByteReader(bytes)
  const scales = widenHalves(reader.halves(groups))
  const size = tokens * channels
  const packed = reader.slice(Math.ceil((size * bits) / 8))
  if (reader.remaining !== 0) throw new CorruptBlockError(`${reader.remaining} bytes follow the last group.`)
  const codes = bits === 8 ? packed : unpaired(packed)
  const values = new Float32Array(size)
  const reach = 2 ** (bits - 1) - 1
  for (let token = 0, index = 0; token < tokens; token += 1) {
    const first = firstOf(token)
    for (let channel = 0; channel < channels; channel += 1, index += 1)
      values[index] = (codes[index]! - reach) * scales[first + ofChannel[channel]!]!
  }
  return values
}

/** Two codes of four bits a byte, the first in the lower half. */
function paired(codes: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((codes.length + 1) >> 1)
  for (let index = 0; index < bytes.length; index += 1)
    bytes[index] = codes[2 * index]! | ((2 * index + 1 < codes.length ? codes[2 * index + 1]! : 0) << 4)
  return bytes
}

function unpaired(bytes: Uint8Array): Uint8Array {
  const codes = new Uint8Array(2 * bytes.length)
  for (let index = 0; index < bytes.length; index += 1) {
    codes[2 * index] = bytes[index]! & 15
    codes[2 * index + 1] = bytes[index]! >>> 4
  }
  return codes
}

/** Turns each run of `size` values in place by the orthonormal Walsh–Hadamard matrix, its own inverse. */
export function turnHadamard(values: Float32Array, size: number): void {
  const norm = 1 / Math.sqrt(size)
  for (let start = 0; start < values.length; start += size) {
    const end = start + size
    let half = 1
    // Two rounds at once, while there are two: half as many reads and writes.
    for (; 4 * half <= size; half *= 4) turnFour(values, start, end, half)
    if (half < size) turnTwo(values, start, half)
    for (let index = start; index < end; index += 1) values[index] = values[index]! * norm
  }
}

function turnFour(values: Float32Array, start: number, end: number, half: number): void {
  for (let first = start; first < end; first += 4 * half) {
    for (let k = first; k < first + half; k += 1) {
      const w = values[k]!
      const x = values[k + half]!
      const y = values[k + 2 * half]!
      const z = values[k + 3 * half]!
      values[k] = w + x + (y + z)
      values[k + half] = w - x + (y - z)
      values[k + 2 * half] = w + x - (y + z)
      values[k + 3 * half] = w - x - (y - z)
    }
  }
}

/** The last round, where one is left: its pairs are the two halves of the run. */
function turnTwo(values: Float32Array, start: number, half: number): void {
  for (let k = start; k < start + half; k += 1) {
    const x = values[k]!
    const y = values[k + half]!
    values[k] = x + y
    values[k + half] = x - y
  }
}

/** The largest power of two up to a group that divides the channels. */
export function hadamardSize(channels: number): number {
  let size = 1
  while (size < GROUP && channels % (2 * size) === 0) size *= 2
  return size
}
