import koffi from 'koffi'
import { loadGgml } from './library.ts'
import { rowBytes, type TensorType, tensorTypes } from './tensor-type.ts'

const traits = koffi.struct('ggml_type_traits', {
  type_name: 'void *',
  blck_size: 'int64_t',
  blck_size_interleave: 'int64_t',
  type_size: 'size_t',
  is_quantized: 'bool',
  to_float: 'void *',
  from_float_ref: 'void *',
})
const toFloat = koffi.proto('void deos_to_float(const void *data, float *values, int64_t count)')

function countRows(values: number, columns: number): number {
  if (!Number.isInteger(columns) || columns <= 0 || values % columns !== 0) {
    throw new RangeError(`${values} values are not whole rows of ${columns} columns.`)
  }
  return values / columns
}

/**
 * Stores whole rows as `type`, rounding as ggml does.
 *
 * @param values - `[rows, columns]`
 * @throws RangeError if a row is not a whole number of the type's blocks
 */
export function quantizeRows(type: TensorType, values: Float32Array, columns: number): Uint8Array {
  const rows = countRows(values.length, columns)
  const output = new Uint8Array(rows * rowBytes(type, columns))
  if (rows > 0) loadGgml().quantizeChunk(tensorTypes[type].id, values, output, 0, rows, columns, null)
  return output
}

/**
 * Reads whole rows of `type` as float32.
 *
 * @returns `[rows, columns]`
 * @throws RangeError if `data` is not a whole number of rows
 */
export function dequantizeRows(type: TensorType, data: Uint8Array, columns: number): Float32Array {
  const rows = countRows(data.byteLength, rowBytes(type, columns))
  const values = new Float32Array(rows * columns)
  if (type === 'F32') {
    new Uint8Array(values.buffer).set(data)
    return values
  }
  const { to_float } = koffi.decode(loadGgml().typeTraits(tensorTypes[type].id), traits) as {
    to_float: bigint | null
  }
  if (!to_float) throw new RangeError(`${type} cannot be read as float32.`)
  if (rows > 0) koffi.call(to_float, toFloat, data, values, values.length)
  return values
}
