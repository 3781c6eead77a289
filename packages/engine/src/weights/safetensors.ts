import { open } from 'node:fs/promises'
import type { TensorType } from '../ggml/tensor-type.ts'
import { ModelFileError, UnsupportedModelError } from './errors.ts'
import { isRecord } from './fields.ts'
import { FileCursor, type NeedBytes, readAfter } from './file-cursor.ts'
import { refuseOverlap } from './gguf-reader.ts'
import type { TensorInfo } from './model-source.ts'

/** As the format's own readers: a longer header is corruption. */
const maximumHeaderBytes = 100_000_000

const dtypes: Readonly<Record<string, { type: TensorType; bytes: number }>> = {
  F32: { type: 'F32', bytes: 4 },
  F16: { type: 'F16', bytes: 2 },
  BF16: { type: 'BF16', bytes: 2 },
  // Bytes without a meaning of their own: weights packed by a scheme that the family knows.
  U8: { type: 'I8', bytes: 1 },
  F8_E4M3: { type: 'I8', bytes: 1 },
}

/** A tensor with its type by the format's own name: that of bytes does not say what they are. */
export interface SafetensorsTensor extends TensorInfo {
  readonly dtype: string
}

export interface SafetensorsFile {
  readonly path: string
  readonly sizeBytes: number
  /** Bytes from the start of the file to the tensor data. */
  readonly dataOffset: number
  /** Under the names in the file; shapes fastest dim first. */
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>
}

/**
 * Reads and checks a safetensors header. Tensors must fill the file exactly, as the format demands.
 *
 * @param need - awaited before bytes are read, for files that are still incomplete
 * @throws ModelFileError naming file, tensor and reason if it is truncated or contradicts itself
 * @throws UnsupportedModelError for an element type other than F32, F16, BF16, U8 and F8_E4M3
 */
export async function readSafetensors(path: string, need?: NeedBytes): Promise<SafetensorsFile> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    const cursor = new FileCursor(readAfter(handle, need), path, size)
    const header = await readHeader(cursor)
    const dataOffset = cursor.position
    const tensors = readEntries(path, header, dataOffset, size)
    return { path, sizeBytes: size, dataOffset, tensors }
  } finally {
    await handle.close()
  }
}

async function readHeader(cursor: FileCursor): Promise<Record<string, unknown>> {
  const { file } = cursor
  await cursor.need(8, 'the header length')
  const length = cursor.size('the header length')
  if (length > maximumHeaderBytes || length > cursor.remaining) {
    throw new ModelFileError(
      file,
      `announces a header of ${length} bytes, but ${cursor.remaining} follow (at most ${maximumHeaderBytes} are accepted)`,
      { hint: 'The file is truncated or not a safetensors file; download it again.' },
    )
  }
  await cursor.need(length, 'the header')
  let header: unknown
  try {
    header = JSON.parse(cursor.text(length))
  } catch (cause) {
    throw new ModelFileError(file, 'has a header that is not JSON', { cause })
  }
  if (isRecord(header)) return header
  throw new ModelFileError(file, 'has a header that is not a JSON object')
}

function readEntries(
  file: string,
  header: Record<string, unknown>,
  dataOffset: number,
  fileBytes: number,
): Map<string, SafetensorsTensor> {
  const tensors = new Map<string, SafetensorsTensor>()
  for (const [name, entry] of Object.entries(header)) {
    if (name !== '__metadata__') tensors.set(name, readEntry(file, name, entry, dataOffset, fileBytes))
  }
  refuseOverlap(file, tensors.values())
  const used = [...tensors.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, dataOffset)
  if (used !== fileBytes) {
    throw new ModelFileError(file, `has ${fileBytes} bytes, but header and tensors make ${used}`)
  }
  return tensors
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isCounts = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount)

function readEntry(
  file: string,
  tensor: string,
  entry: unknown,
  dataOffset: number,
  fileBytes: number,
): SafetensorsTensor {
  const { dtype, shape, data_offsets: offsets } = isRecord(entry) ? entry : {}
  if (!isCounts(shape) || !isCounts(offsets) || offsets.length !== 2 || typeof dtype !== 'string') {
    throw new ModelFileError(file, 'has no proper dtype, shape and data_offsets', { tensor })
  }
  const element = Object.hasOwn(dtypes, dtype) ? dtypes[dtype] : undefined
  if (!element) {
    throw new UnsupportedModelError(
      file,
      `tensor ${tensor} is stored as ${dtype.slice(0, 40)}`,
      'Use a model stored as F32, F16 or BF16, or a GGUF file.',
    )
  }
  const [begin, end] = offsets as [number, number]
  const sizeBytes = shape.reduce((product, extent) => product * extent, element.bytes)
  if (shape.includes(0) || end - begin !== sizeBytes) {
    throw new ModelFileError(
      file,
      `takes bytes [${begin}, ${end}), but its shape [${shape.join(', ')}] of ${dtype} needs ${sizeBytes}`,
      { tensor },
    )
  }
  if (dataOffset + end > fileBytes) {
    throw new ModelFileError(file, `ends at byte ${dataOffset + end}, but the file has ${fileBytes}`, {
      tensor,
      hint: 'The file is truncated; download it again.',
    })
  }
  const fastestFirst = shape.length === 0 ? [1] : shape.toReversed()
  return {
    name: tensor,
    dtype,
    type: element.type,
    shape: fastestFirst,
    file,
    offset: dataOffset + begin,
    sizeBytes,
  }
}
