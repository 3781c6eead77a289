import { ByteReader, ByteWriter } from '../byte-cursor.ts'
import { CorruptBlockError } from '../errors.ts'
import { decodeGroups, encodeGroups, GROUP, hadamardSize, turnHadamard } from '../groups.ts'

/** So many times the mean magnitude of its token, a value travels as it is: its group keeps its fine scale. */
const OUTLIER = 12
const OUTLIER_BYTES = 8
/** What a token is divided by is a power of two: its exponent, and this much. */
const BIAS = 128

/**
 * Rows as whole numbers of so many bits, with a scale for each 64 channels of a token; those of 4 bits are turned by a
 * Hadamard matrix first. Rows are brought to a mean magnitude near 1, and values far beyond it are taken out and told
 * exactly: in residual streams a few channels are hundreds of times as large as the others.
 *
 * @returns null if a value is not finite, or a row's magnitudes lie at the ends of float32
 */
export function encodeRounded(
  values: Float32Array,
  tokens: number,
  width: number,
  bits: 4 | 8,
): Uint8Array<ArrayBuffer> | null {
  const rows = Float32Array.from(values)
  const exponents = new Uint8Array(tokens)
  const outliers: number[] = []
  for (let token = 0; token < tokens; token += 1) {
    const start = token * width
    let sum = 0
    for (let index = start; index < start + width; index += 1) sum += Math.abs(rows[index]!)
    if (!(sum < Number.POSITIVE_INFINITY)) return null
    const mean = sum / width
    const exponent = mean === 0 ? 0 : Math.round(Math.log2(mean))
    if (exponent < -BIAS + 2 || exponent > BIAS - 2) return null
    exponents[token] = exponent + BIAS
    const factor = 2 ** -exponent
    for (let index = start; index < start + width; index += 1) {
      if (Math.abs(rows[index]!) > OUTLIER * mean) {
        outliers.push(index)
        rows[index] = 0
      } else rows[index] = rows[index]! * factor
    }
  }
  const writer = new ByteWriter(values.length + tokens).append(exponents).u32(outliers.length)
  for (const index of outliers) writer.u32(index).f32(values[index]!)
  if (bits === 4) turnHadamard(rows, hadamardSize(width))
  return writer.append(encodeGroups(rows, { tokens, channels: width }, 'channels', bits)).done()
}

/** @throws CorruptBlockError if the bytes are not so many rows, or a value is not finite */
export function decodeRounded(bytes: Uint8Array, tokens: number, width: number, bits: 4 | 8): Float32Array {
  const reader = new ByteReader(bytes)
  const exponents = reader.slice(tokens)
  const outliers = reader.slice(OUTLIER_BYTES * reader.u32())
  const groups = 2 * tokens * Math.ceil(width / GROUP) + Math.ceil((tokens * width * bits) / 8)
  // Before anything as large as the rows is made.
  if (reader.remaining !== groups)
    throw new CorruptBlockError(`${reader.remaining} bytes follow the outliers, not ${groups}.`)
  const rows = decodeGroups(reader.rest(), { tokens, channels: width }, 'channels', bits)
  if (bits === 4) turnHadamard(rows, hadamardSize(width))
  let nothing = 0
  for (let token = 0, index = 0; token < tokens; token += 1) {
    const factor = 2 ** (exponents[token]! - BIAS)
    for (const end = index + width; index < end; index += 1) {
      rows[index] = rows[index]! * factor
      nothing += rows[index]! - rows[index]!
    }
  }
  if (nothing !== 0) throw new CorruptBlockError('A scale of the hidden states is not finite.')
  putOutliers(rows, outliers)
  return rows
}

function putOutliers(rows: Float32Array, bytes: Uint8Array): void {
  const reader = new ByteReader(bytes)
  let after = -1
  while (reader.remaining > 0) {
    const index = reader.u32()
    const value = reader.f32()
    if (index <= after || index >= rows.length || !Number.isFinite(value))
      throw new CorruptBlockError(`An outlier of ${value} cannot be at ${index} of ${rows.length}.`)
    rows[index] = value
    after = index
  }
}
