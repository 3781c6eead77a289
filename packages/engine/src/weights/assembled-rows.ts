import { type FileHandle, open } from 'node:fs/promises'
import { dequantizeRows } from '../ggml/quantize.ts'
import { rowBytes, type TensorType, tensorTypes } from '../ggml/tensor-type.ts'
import { readFully } from './file-cursor.ts'
import { ScaledFloat8 } from './float8.ts'
import type { Float8Matrices, TensorInfo, TensorPart } from './model-source.ts'

/** What {@link assembledRows} yields: what must be decoded for it is F32 then. */
export const assembledType = ({ type, parts = [] }: TensorInfo): TensorType =>
  parts.some(({ float8, transposed }) => float8 || transposed) ? 'F32' : type

/**
 * Yields the rows of a tensor that is put together from parts, in {@link assembledType}, at most `chunkRows` at a time. Memory stays bounded by
 * some rows, or by one part where a part's rows are the columns of what is stored.
 *
 * @throws ModelFileError if a file became shorter
 */
export async function* assembledRows(
  { type, shape, parts = [] }: TensorInfo,
  chunkRows: number,
): AsyncGenerator<Uint8Array> {
  const columns = shape[0]!
  const handles = new Map<string, FileHandle>()
  const read: Read = async (file, offset, length) => {
    const handle = handles.get(file) ?? (await open(file, 'r'))
    handles.set(file, handle)
    const data = new Uint8Array(length)
    await readFully(handle, file, data, offset)
    return data
  }
  const scaled = new Map<Float8Matrices, ScaledFloat8>()
  try {
    for (const part of parts) {
      const { float8, transposed } = part
      if (transposed !== undefined) {
        yield* transposedRows(read, { columns, part, transposed }, chunkRows)
        continue
      }
      if (float8 === undefined) {
        yield* partRows(read, { type, columns, part }, chunkRows)
        continue
      }
      const decoder = scaled.get(float8) ?? (await readScales(read, float8))
      scaled.set(float8, decoder)
      yield* float8Rows(read, { columns, part, decoder }, chunkRows)
    }
  } finally {
    for (const handle of handles.values()) await handle.close()
  }
}

type Read = (file: string, offset: number, length: number) => Promise<Uint8Array>

interface TypedPart {
  readonly type: TensorType
  readonly columns: number
  readonly part: TensorPart
}

async function readScales(read: Read, matrices: Float8Matrices): Promise<ScaledFloat8> {
  const { file, offset, sizeBytes } = matrices.scales
  return new ScaledFloat8(matrices, await read(file, offset, sizeBytes))
}

interface Float8Part {
  readonly columns: number
  readonly part: TensorPart
  readonly decoder: ScaledFloat8
}

async function* float8Rows(
  read: Read,
  { columns, part, decoder }: Float8Part,
  chunkRows: number,
): AsyncGenerator<Uint8Array> {
  let { offset } = part
  for await (const bytes of partRows(read, { type: 'I8', columns, part }, chunkRows)) {
    const values = new Float32Array(bytes.length)
    for (let at = 0; at < bytes.length; at += columns, offset += part.rowStrideBytes) {
      const end = at + columns
      decoder.decode(bytes.subarray(at, end), offset, part.elementStrideBytes ?? 1, values.subarray(at, end))
    }
    yield new Uint8Array(values.buffer)
  }
}

interface TransposedPart {
  /** Of ours, which are rows of the matrix. */
  readonly columns: number
  readonly part: TensorPart
  readonly transposed: NonNullable<TensorPart['transposed']>
}

/** Reads the whole part and decodes it, then hands out its columns. */
async function* transposedRows(
  read: Read,
  { columns, part, transposed }: TransposedPart,
  chunkRows: number,
): AsyncGenerator<Uint8Array> {
  const width = transposed.columns
  const data = await read(part.file, part.offset, columns * rowBytes(transposed.type, width))
  const matrix = dequantizeRows(transposed.type, data, width)
  for (let first = 0; first < part.rows; first += chunkRows) {
    const count = Math.min(chunkRows, part.rows - first)
    const values = new Float32Array(count * columns)
    for (let row = 0; row < count; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        values[row * columns + column] = matrix[column * width + first + row]!
      }
    }
    yield new Uint8Array(values.buffer)
  }
}

async function* partRows(read: Read, typed: TypedPart, chunkRows: number): AsyncGenerator<Uint8Array> {
  const { part } = typed
  const rowsFrom =
    part.elementStrideBytes === null
      ? (first: number, count: number) => contiguousRows(read, typed, first, count)
      : await columnsAsRows(read, typed, part.elementStrideBytes)
  for (let first = 0; first < part.rows; first += chunkRows) {
    yield await rowsFrom(first, Math.min(chunkRows, part.rows - first))
  }
}

async function contiguousRows(
  read: Read,
  { type, columns, part }: TypedPart,
  first: number,
  count: number,
): Promise<Uint8Array> {
  const rows = (place: { file: string; offset: number; rowStrideBytes: number }, width: number) =>
    stridedRows(read, place, width, first, count)
  if (!part.scales) return rows(part, rowBytes(type, columns))
  const blocks = columns / tensorTypes[type].blockSize
  return joinMxfp4(await rows(part.scales, blocks), await rows(part, blocks * numberBytes))
}

/** Rows of `width` bytes that lie `rowStrideBytes` apart, packed. */
async function stridedRows(
  read: Read,
  { file, offset, rowStrideBytes }: { file: string; offset: number; rowStrideBytes: number },
  width: number,
  first: number,
  count: number,
): Promise<Uint8Array> {
  const span = await read(file, offset + first * rowStrideBytes, (count - 1) * rowStrideBytes + width)
  if (rowStrideBytes === width) return span
  const packed = new Uint8Array(count * width)
  for (let row = 0; row < count; row += 1) {
    packed.set(span.subarray(row * rowStrideBytes, row * rowStrideBytes + width), row * width)
  }
  return packed
}

/** Reads the whole part, then hands out its rows, whose elements lie `elementStride` bytes apart. */
async function columnsAsRows(
  read: Read,
  { type, columns, part }: TypedPart,
  elementStride: number,
): Promise<(first: number, count: number) => Promise<Uint8Array>> {
  const size = tensorTypes[type].blockBytes
  const { file, offset, rows, rowStrideBytes: rowStride } = part
  const span = await read(file, offset, (rows - 1) * rowStride + (columns - 1) * elementStride + size)
  const Elements = size === 1 ? Uint8Array : size === 2 ? Uint16Array : Uint32Array
  const elements: Uint8Array | Uint16Array | Uint32Array = new Elements(span.buffer as ArrayBuffer)
  return async (first, count) => {
    const packed = new Elements(count * columns)
    for (let row = 0; row < count; row += 1) {
      let from = ((first + row) * rowStride) / size
      for (let column = 0; column < columns; column += 1) {
        packed[row * columns + column] = elements[from]!
        from += elementStride / size
      }
    }
    return new Uint8Array(packed.buffer)
  }
}

/** Bytes of a block's 32 four-bit numbers. */
const numberBytes = tensorTypes.MXFP4.blockBytes - 1

/**
 * Blocks of MXFP4 as ggml has them: the scale, then bytes that hold elements j and j + 16.
 *
 * @param numbers - 16 bytes a block, which hold elements 2j and 2j + 1
 */
function joinMxfp4(scales: Uint8Array, numbers: Uint8Array): Uint8Array {
  const { blockBytes } = tensorTypes.MXFP4
  const half = numberBytes / 2
  const joined = new Uint8Array(scales.length * blockBytes)
  for (const [block, scale] of scales.entries()) {
    const to = block * blockBytes
    const from = block * numberBytes
    joined[to] = scale
    for (let index = 0; index < half; index += 1) {
      const low = numbers[from + index]!
      const high = numbers[from + half + index]!
      joined[to + 1 + 2 * index] = (low & 0x0f) | ((high & 0x0f) << 4)
      joined[to + 2 + 2 * index] = (low >> 4) | (high & 0xf0)
    }
  }
  return joined
}
