import koffi from 'koffi'
import type { Pointer } from './library.ts'
import { rowBytes, type TensorType, tensorTypes } from './tensor-type.ts'

/**
 * Where `struct ggml_tensor` of the pinned release keeps some of its fields; the size of the whole struct is checked
 * when the library is loaded.
 */
const TYPE_OFFSET = 0
const EXTENTS_OFFSET = 16
const STRIDES_OFFSET = 48
const VIEW_SOURCE_OFFSET = 232
const VIEW_OFFSET_OFFSET = 240
const DATA_OFFSET = 248

// Fields are written one by one: a view of the struct would be an object with a finaliser, and a process that computes
// without pause never comes to run those.
const write = (tensor: Pointer, offset: number, type: 'int32_t' | 'int64_t', value: bigint | number): void =>
  koffi.encode(tensor, offset, type, value)

/**
 * Makes the result of an operation a view into `source`, so that the operation writes there: what ggml's `_inplace`
 * operations do, for those that have no such variant.
 *
 * @param tensor - not allocated yet; contiguous, and lying inside `source` from `offsetBytes` on
 */
export function makeView(tensor: Pointer, source: Pointer, offsetBytes: number): void {
  write(tensor, VIEW_SOURCE_OFFSET, 'int64_t', source)
  write(tensor, VIEW_OFFSET_OFFSET, 'int64_t', offsetBytes)
}

/**
 * Makes a view of whole rows one of the same bytes in another type.
 *
 * @param tensor - a view with one row after another, not allocated yet
 */
export function reinterpretRows(tensor: Pointer, type: TensorType, columns: number, rows: number): void {
  const stride = rowBytes(type, columns)
  const { id, blockBytes } = tensorTypes[type]
  write(tensor, TYPE_OFFSET, 'int32_t', id)
  const extents = [columns, rows, 1, 1]
  const strides = [blockBytes, stride, stride * rows, stride * rows]
  for (let dim = 0; dim < extents.length; dim += 1) {
    write(tensor, EXTENTS_OFFSET + dim * 8, 'int64_t', extents[dim]!)
    write(tensor, STRIDES_OFFSET + dim * 8, 'int64_t', strides[dim]!)
  }
}

/** Where the data of an allocated tensor lies. */
export const dataAddress = (tensor: Pointer): number => Number(koffi.decode(tensor, DATA_OFFSET, 'int64_t'))

/**
 * Lets an allocated view look elsewhere into its source.
 *
 * @param sourceAddress - of the source's data, in memory of this process
 */
export function moveView(tensor: Pointer, sourceAddress: number, offsetBytes: number): void {
  write(tensor, VIEW_OFFSET_OFFSET, 'int64_t', offsetBytes)
  write(tensor, DATA_OFFSET, 'int64_t', sourceAddress + offsetBytes)
}

/** Bytes from one row to the next. */
export function rowStride(tensor: Pointer): number {
  return Number(koffi.decode(tensor, STRIDES_OFFSET + BigUint64Array.BYTES_PER_ELEMENT, 'int64_t'))
}

/** The last dim of a tensor that has more than one element along it; 0 if there is none. */
export interface LastDim {
  readonly dim: number
  readonly extent: number
}

export function lastDim(tensor: Pointer): LastDim {
  for (let dim = 3; dim > 0; dim -= 1) {
    const extent = Number(koffi.decode(tensor, EXTENTS_OFFSET + dim * 8, 'int64_t'))
    if (extent !== 1) return { dim, extent }
  }
  return { dim: 0, extent: Number(koffi.decode(tensor, EXTENTS_OFFSET, 'int64_t')) }
}

/**
 * Lets an operation compute only the beginning of an allocated tensor along its last dim.
 *
 * @param dim - nothing lies beyond it
 * @param extent - at most what the tensor was allocated with
 */
export function shorten(tensor: Pointer, dim: number, extent: number): void {
  write(tensor, EXTENTS_OFFSET + dim * 8, 'int64_t', extent)
  const size = extent * Number(koffi.decode(tensor, STRIDES_OFFSET + dim * 8, 'int64_t'))
  for (let outer = dim + 1; outer < 4; outer += 1) write(tensor, STRIDES_OFFSET + outer * 8, 'int64_t', size)
}
