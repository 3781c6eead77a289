import { open } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { dequantizeRows, quantizeRows } from '../ggml/quantize.ts'
import { rowBytes, type TensorType, tensorTypes } from '../ggml/tensor-type.ts'
import { assembledRows, assembledType } from './assembled-rows.ts'
import { ModelFileError } from './errors.ts'
import { readFully } from './file-cursor.ts'
import type { TensorInfo } from './model-source.ts'

/**
 * Elements converted between two turns of the event loop: a few milliseconds of work. Types in blocks of 256
 * search for their scales, which takes some ten times longer than rounding.
 */
const chunkElements = (type: TensorType): number => (tensorTypes[type].blockSize === 256 ? 1 << 15 : 1 << 17)
const largestF16 = 65_504

export const countRows = (shape: readonly number[]): number =>
  shape.slice(1).reduce((product, extent) => product * extent, 1)

export const countElements = (shape: readonly number[]): number =>
  shape.reduce((product, extent) => product * extent, 1)

/**
 * Yields a tensor as `type`, in whole rows, in canonical order. Memory stays bounded by some rows (by one head's
 * rows where they are reordered, by one part where it is put together from columns), and the event loop gets a turn between chunks.
 *
 * @throws ModelFileError if the file became shorter, or a value is not finite or too large for F16
 */
export async function* tensorData(
  tensor: TensorInfo,
  type: TensorType,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const columns = tensor.shape[0]!
  const chunkRows = Math.max(1, Math.floor(chunkElements(type) / columns))
  const stored = tensor.parts ? assembledType(tensor) : tensor.type
  const asStored = type === stored && stored === tensor.type && tensor.addend === undefined
  for await (const rows of canonicalRows(tensor, rowBytes(stored, columns), chunkRows)) {
    signal?.throwIfAborted()
    yield asStored ? rows : convertRows(tensor, stored, type, rows)
    await setImmediate()
  }
}

/** Reads a whole tensor as float32, in canonical order: for small tensors and tests. */
export async function readTensor(tensor: TensorInfo): Promise<Float32Array> {
  const values = new Float32Array(countElements(tensor.shape))
  let at = 0
  for await (const chunk of tensorData(tensor, 'F32')) {
    new Uint8Array(values.buffer).set(chunk, at)
    at += chunk.length
  }
  return values
}

function convertRows(tensor: TensorInfo, stored: TensorType, type: TensorType, rows: Uint8Array): Uint8Array {
  if (stored === 'I8') {
    throw new ModelFileError(tensor.file, 'holds bytes, not numbers', { tensor: tensor.name })
  }
  const columns = tensor.shape[0]!
  const values = dequantizeRows(stored, rows, columns)
  const { addend } = tensor
  if (addend !== undefined) for (const [index, value] of values.entries()) values[index] = value + addend
  const limit = type === 'F16' ? largestF16 : Number.MAX_VALUE
  for (const value of values) {
    if (!(Math.abs(value) <= limit)) throw unstorable(tensor, type, value)
  }
  if (type === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  return quantizeRows(type, values, columns)
}

function unstorable(tensor: TensorInfo, type: TensorType, value: number): ModelFileError {
  if (!Number.isFinite(value)) {
    return new ModelFileError(tensor.file, `holds the value ${value}`, { tensor: tensor.name })
  }
  return new ModelFileError(tensor.file, `holds ${value}, too large for ${type}`, {
    tensor: tensor.name,
    hint: 'Choose BF16, F32 or a quantised type.',
  })
}

async function* canonicalRows(
  tensor: TensorInfo,
  stride: number,
  chunkRows: number,
): AsyncGenerator<Uint8Array> {
  if (tensor.permuteHeads === undefined) {
    yield* storedRows(tensor, stride, chunkRows)
    return
  }
  const headRows = countRows(tensor.shape) / tensor.permuteHeads
  for await (const head of storedRows(tensor, stride, headRows)) {
    const ordered = interleaveHalves(head, stride)
    for (let at = 0; at < ordered.length; at += chunkRows * stride) {
      yield ordered.subarray(at, at + chunkRows * stride)
    }
  }
}

const storedRows = (tensor: TensorInfo, stride: number, chunkRows: number): AsyncGenerator<Uint8Array> =>
  tensor.parts ? assembledRows(tensor, chunkRows) : adjacentRows(tensor, stride, chunkRows)

async function* adjacentRows(
  { file, offset, shape }: TensorInfo,
  stride: number,
  chunkRows: number,
): AsyncGenerator<Uint8Array> {
  const rows = countRows(shape)
  const handle = await open(file, 'r')
  try {
    for (let first = 0; first < rows; first += chunkRows) {
      const data = new Uint8Array(Math.min(chunkRows, rows - first) * stride)
      await readFully(handle, file, data, offset + first * stride)
      yield data
    }
  } finally {
    await handle.close()
  }
}

/**
 * Reorders the rows of one attention head from rotate-half (the two members of a rotary pair lie half a head
 * apart) to interleaved (side by side): row `i + half * headDim/2` goes to row `2 * i + half`.
 */
export function interleaveHalves(rows: Uint8Array, stride: number): Uint8Array {
  const pairs = rows.length / stride / 2
  const ordered = new Uint8Array(rows.length)
  for (let pair = 0; pair < pairs; pair += 1) {
    for (const half of [0, 1]) {
      const from = (pair + half * pairs) * stride
      ordered.set(rows.subarray(from, from + stride), (2 * pair + half) * stride)
    }
  }
  return ordered
}
