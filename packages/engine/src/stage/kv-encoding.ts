import type { KvEncoding } from '@deos/domain'
import { dequantizeRows, quantizeRows } from '../ggml/quantize.ts'
import { rowBytes, tensorTypes } from '../ggml/tensor-type.ts'
import type { KvType } from './kv-type.ts'

/** Rows of one part in a cache. */
export interface StoredRows {
  readonly type: KvType
  readonly columns: number
  /** Extent of the blocks in which heads are turned before they are stored; `null` where they are not. */
  readonly turned: number | null
}

export const encodedRowBytes = ({ type, columns }: StoredRows, encoding: KvEncoding): number =>
  rowBytes(encoding === 'f16' ? 'F16' : type, columns)

/** Whether rows of the cache are those of the encoding. */
const isPlain = ({ type }: StoredRows, encoding: KvEncoding) => encoding === 'stored' || type === 'F16'

/** Rows of the cache in the encoding. */
export function encodeRows(rows: StoredRows, encoding: KvEncoding, stored: Uint8Array): Uint8Array {
  if (isPlain(rows, encoding)) return stored
  const values = dequantizeRows(rows.type, stored, rows.columns)
  if (rows.turned !== null) turnBlocks(values, rows.turned)
  return quantizeRows('F16', values, rows.columns)
}

/** The inverse of {@link encodeRows}, but for rounding in types that are not F16. */
export function decodeRows(rows: StoredRows, encoding: KvEncoding, encoded: Uint8Array): Uint8Array {
  if (isPlain(rows, encoding)) return encoded
  const values = dequantizeRows('F16', encoded, rows.columns)
  if (rows.turned !== null) turnBlocks(values, rows.turned)
  return quantizeRows(rows.type, values, rows.columns)
}

/** Multiplies each block with the orthonormal matrix of Walsh and Hadamard, in place. */
export function turnBlocks(values: Float32Array, extent: number): void {
  for (let half = 1; half < extent; half *= 2) {
    for (let block = 0; block < values.length; block += 2 * half) {
      for (let index = block; index < block + half; index += 1) {
        const [a, b] = [values[index]!, values[index + half]!]
        values[index] = a + b
        values[index + half] = a - b
      }
    }
  }
  const scale = 1 / Math.sqrt(extent)
  for (let index = 0; index < values.length; index += 1) values[index]! *= scale
}

const F16_EXPONENT = 0x7c00
const F32_EXPONENT = 0x7f80
/** Exponent of 2^16 in a float32, the first that a float16 cannot hold. */
const F32_LARGE = 0x4780

/**
 * Whether all values are numbers that a float16 could hold, or scales of such. Attention multiplies what it must not see
 * by 0, and 0 × NaN is NaN: infinities, or values whose products become such, would spoil the answers of everyone whose
 * cells lie near.
 */
export function areModerate(type: KvType, data: Uint8Array): boolean {
  const { blockBytes } = tensorTypes[type]
  const isF32 = type === 'F32'
  // The high half of a float32; a float16; the scale that a quantised block begins with.
  const [exponent, large] = isF32 ? [F32_EXPONENT, F32_LARGE] : [F16_EXPONENT, F16_EXPONENT]
  for (let at = isF32 ? 2 : 0; at < data.length; at += blockBytes) {
    if (((data[at]! | (data[at + 1]! << 8)) & exponent) >= large) return false
  }
  return true
}
