import koffi from 'koffi'
import type { Pointer } from './library.ts'

/**
 * Where `struct ggml_tensor` of the pinned release keeps two of its fields; the size of the whole struct is checked
 * when the library is loaded.
 */
const VIEW_SOURCE_OFFSET = 232
const VIEW_OFFSET_OFFSET = 240
const STRUCT_BYTES = 336

/**
 * Makes the result of an operation a view into `source`, so that the operation writes there: what ggml's `_inplace`
 * operations do, for those that have no such variant.
 *
 * @param tensor - not allocated yet; contiguous, and lying inside `source` from `offsetBytes` on
 */
export function makeView(tensor: Pointer, source: Pointer, offsetBytes: number): void {
  const fields = new DataView(koffi.view(tensor, STRUCT_BYTES))
  fields.setBigUint64(VIEW_SOURCE_OFFSET, source, true)
  fields.setBigUint64(VIEW_OFFSET_OFFSET, BigInt(offsetBytes), true)
}
