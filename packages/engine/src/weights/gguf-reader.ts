import { open } from 'node:fs/promises'
import { type TensorType, tensorBytes, tensorTypeFromId, tensorTypes } from '../ggml/tensor-type.ts'
import { ModelFileError, UnsupportedModelError } from './errors.ts'
import { FileCursor, type NeedBytes, readAfter } from './file-cursor.ts'
import {
  arrayId,
  elementTypeFromId,
  type GgufElementType,
  type GgufScalar,
  type GgufValue,
  ggufNumbers,
  minimumBytes,
} from './gguf-values.ts'
import type { TensorInfo } from './model-source.ts'

/** "GGUF" as a little-endian integer. */
const magic = 0x46554747
const magicSwapped = 0x47475546
const defaultAlignment = 32
const maximumDims = 4

/** Far above any real model; a larger count is corruption and is refused before anything is allocated. */
const limits = {
  keys: 1 << 16,
  tensors: 1 << 18,
  arrayElements: 1 << 24,
  keyBytes: 1 << 16,
  nameBytes: 1 << 10,
  stringBytes: 1 << 28,
} as const

/** Types in ggml that this engine does not read, for messages. */
const otherTypes: Readonly<Record<number, string>> = {
  9: 'Q8_1',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  20: 'IQ4_NL',
  21: 'IQ3_S',
  22: 'IQ2_S',
  23: 'IQ4_XS',
  24: 'I8',
  25: 'I16',
  28: 'F64',
  29: 'IQ1_M',
  34: 'TQ1_0',
  35: 'TQ2_0',
  40: 'NVFP4',
  41: 'Q1_0',
  42: 'Q2_0',
}

/** A GGUF file's header, checked against the file's size; tensor data is not read. */
export interface GgufHeader {
  readonly path: string
  readonly version: 2 | 3
  readonly alignment: number
  /** Bytes from the start of the file to the tensor data; what lies before is the header. */
  readonly dataOffset: number
  readonly sizeBytes: number
  readonly metadata: ReadonlyMap<string, GgufValue>
  readonly tensors: ReadonlyMap<string, TensorInfo>
}

/**
 * Reads and checks a GGUF header (version 2 or 3, little endian).
 *
 * @param need - awaited before bytes are read, for files that are still incomplete
 * @throws ModelFileError naming file, tensor and reason if it is truncated or contradicts itself
 * @throws UnsupportedModelError for another version, byte order or element type
 */
export async function readGgufHeader(path: string, need?: NeedBytes): Promise<GgufHeader> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    return await parseHeader(new FileCursor(readAfter(handle, need), path, size))
  } finally {
    await handle.close()
  }
}

async function parseHeader(cursor: FileCursor): Promise<GgufHeader> {
  const version = await readVersion(cursor)
  await cursor.need(16, 'the header')
  const tensorCount = readCount(cursor, 'tensors', limits.tensors, 24)
  const keyCount = readCount(cursor, 'metadata keys', limits.keys, 13)
  const metadata = new Map<string, GgufValue>()
  for (let index = 0; index < keyCount; index += 1) {
    const key = await readText(cursor, `metadata key ${index}`, limits.keyBytes)
    if (metadata.has(key)) throw new ModelFileError(cursor.file, `has the metadata key "${key}" twice`)
    metadata.set(key, await readValue(cursor, key))
  }
  const alignment = readAlignment(cursor.file, metadata)
  const entries: TensorEntry[] = []
  for (let index = 0; index < tensorCount; index += 1) entries.push(await readEntry(cursor, index))
  const dataOffset = Math.ceil(cursor.position / alignment) * alignment
  const { file, sizeBytes } = cursor
  const tensors = placeTensors(file, sizeBytes, dataOffset, alignment, entries)
  return { path: file, version, alignment, dataOffset, sizeBytes, metadata, tensors }
}

async function readVersion(cursor: FileCursor): Promise<2 | 3> {
  const { file } = cursor
  if (cursor.sizeBytes < 4) {
    throw new ModelFileError(file, `is not a GGUF file: it has only ${cursor.sizeBytes} bytes`)
  }
  await cursor.need(4, 'the magic number')
  const first = cursor.uint32()
  if (first === magicSwapped) throw bigEndian(file)
  if (first !== magic) {
    throw new ModelFileError(
      file,
      `is not a GGUF file: it starts with 0x${first.toString(16).padStart(8, '0')} instead of "GGUF"`,
      { hint: 'Give a .gguf file or a folder with config.json and *.safetensors.' },
    )
  }
  await cursor.need(4, 'the version')
  const version = cursor.uint32()
  if (version === 2 || version === 3) return version
  if (version === 0x0300_0000 || version === 0x0200_0000) throw bigEndian(file)
  throw new UnsupportedModelError(
    file,
    `is GGUF version ${version}; this engine reads 2 and 3`,
    version < 2 ? 'Convert the model again with a current tool.' : 'Update DeOS.',
  )
}

const bigEndian = (file: string) =>
  new UnsupportedModelError(file, 'is a big-endian GGUF file', 'Download the little-endian file.')

/** @param minimumBytes - what one takes in the file at least */
function readCount(cursor: FileCursor, what: string, limit: number, minimum: number): number {
  const count = cursor.size(`the number of ${what}`)
  if (count > limit || count * minimum > cursor.remaining) {
    throw new ModelFileError(
      cursor.file,
      `announces ${count} ${what}, but only ${cursor.remaining} bytes follow (at most ${limit} are accepted)`,
    )
  }
  return count
}

async function readText(cursor: FileCursor, what: string, limit: number): Promise<string> {
  if (!cursor.has(8)) await cursor.need(8, what)
  const length = cursor.size(`the length of ${what}`)
  if (length > limit || length > cursor.remaining) {
    throw new ModelFileError(
      cursor.file,
      `gives ${what} a length of ${length} bytes, but only ${cursor.remaining} follow (at most ${limit} are accepted)`,
    )
  }
  if (!cursor.has(length)) await cursor.need(length, what)
  return cursor.text(length)
}

async function readValue(cursor: FileCursor, key: string): Promise<GgufValue> {
  const what = `the value of "${key}"`
  await cursor.need(4, what)
  const id = cursor.uint32()
  if (id !== arrayId) {
    const type = elementType(cursor, id, key)
    if (!cursor.has(minimumBytes(type))) await cursor.need(minimumBytes(type), what)
    const value = await readScalar(cursor, type, what)
    return { type, value } as GgufValue
  }
  await cursor.need(12, what)
  const type = elementType(cursor, cursor.uint32(), key)
  const count = readCount(cursor, `elements in "${key}"`, limits.arrayElements, minimumBytes(type))
  const value: GgufScalar[] = []
  for (let index = 0; index < count; index += 1) {
    const scalar = readScalar(cursor, type, what)
    // Awaiting each of a vocabulary's strings would cost more than reading them.
    value.push(typeof scalar === 'object' ? await scalar : scalar)
  }
  return { type: 'array', elementType: type, value }
}

function elementType(cursor: FileCursor, id: number, key: string): GgufElementType {
  const type = elementTypeFromId(id)
  if (type) return type
  const reason = id === arrayId ? 'an array of arrays' : `a value of unknown type ${id}`
  throw new ModelFileError(cursor.file, `holds ${reason} under the metadata key "${key}"`)
}

function readScalar(
  cursor: FileCursor,
  type: GgufElementType,
  what: string,
): GgufScalar | Promise<GgufScalar> {
  if (!cursor.has(minimumBytes(type))) {
    return cursor.need(minimumBytes(type), what).then(() => readScalar(cursor, type, what))
  }
  if (type === 'string') return readString(cursor, what)
  if (type !== 'bool') return ggufNumbers[type].read(cursor.bytes(ggufNumbers[type].sizeBytes), 0)
  const byte = cursor.bytes(1)[0]!
  if (byte > 1) throw new ModelFileError(cursor.file, `stores ${byte} for a boolean in ${what}`)
  return byte === 1
}

/** Synchronous where the bytes are there already. */
function readString(cursor: FileCursor, what: string): string | Promise<string> {
  const length = cursor.size(`the length of a text in ${what}`)
  if (length > limits.stringBytes || length > cursor.remaining) {
    throw new ModelFileError(
      cursor.file,
      `gives a text in ${what} a length of ${length} bytes, but only ${cursor.remaining} follow`,
    )
  }
  if (cursor.has(length)) return cursor.text(length)
  return cursor.need(length, what).then(() => cursor.text(length))
}

function readAlignment(file: string, metadata: ReadonlyMap<string, GgufValue>): number {
  const entry = metadata.get('general.alignment')
  if (!entry) return defaultAlignment
  const alignment = entry.value
  const valid =
    typeof alignment === 'number' &&
    alignment >= 8 &&
    alignment <= 1 << 20 &&
    Number.isInteger(Math.log2(alignment))
  if (valid) return alignment
  throw new ModelFileError(
    file,
    `has general.alignment ${String(alignment)}; it must be a power of two from 8 to ${1 << 20}`,
  )
}

interface TensorEntry {
  readonly name: string
  readonly type: TensorType
  readonly shape: readonly number[]
  /** Bytes from the start of the tensor data. */
  readonly offset: number
}

async function readEntry(cursor: FileCursor, index: number): Promise<TensorEntry> {
  const { file } = cursor
  const name = await readText(cursor, `the name of tensor ${index}`, limits.nameBytes)
  const what = `the description of tensor ${name}`
  await cursor.need(4, what)
  const dims = cursor.uint32()
  if (dims < 1 || dims > maximumDims) {
    throw new ModelFileError(file, `has ${dims} dimensions; 1 to ${maximumDims} are possible`, {
      tensor: name,
    })
  }
  await cursor.need(dims * 8 + 12, what)
  const shape = Array.from({ length: dims }, () => cursor.size(`an extent of tensor ${name}`))
  const type = readTensorType(file, name, cursor.uint32())
  return { name, type, shape, offset: cursor.size(`the offset of tensor ${name}`) }
}

function readTensorType(file: string, tensor: string, id: number): TensorType {
  const type = tensorTypeFromId(id)
  if (type) return type
  const known = otherTypes[id]
  if (!known) throw new ModelFileError(file, `has the unknown element type ${id}`, { tensor })
  throw new UnsupportedModelError(
    file,
    `tensor ${tensor} is stored as ${known}, which this engine does not read`,
    `Use a file in one of ${Object.keys(tensorTypes).join(', ')}.`,
  )
}

function placeTensors(
  file: string,
  fileBytes: number,
  dataOffset: number,
  alignment: number,
  entries: readonly TensorEntry[],
): Map<string, TensorInfo> {
  const tensors = new Map<string, TensorInfo>()
  for (const { name, type, shape, offset } of entries) {
    if (tensors.has(name)) throw new ModelFileError(file, 'is listed twice', { tensor: name })
    const sizeBytes = checkedBytes(file, name, type, shape)
    if (offset % alignment !== 0) {
      throw new ModelFileError(file, `starts at offset ${offset}, not a multiple of ${alignment}`, {
        tensor: name,
      })
    }
    const end = dataOffset + offset + sizeBytes
    if (end > fileBytes) {
      throw new ModelFileError(file, `ends at byte ${end}, but the file has ${fileBytes}`, {
        tensor: name,
        hint: 'The file is truncated; download it again.',
      })
    }
    tensors.set(name, { name, type, shape, file, offset: dataOffset + offset, sizeBytes })
  }
  refuseOverlap(file, tensors.values())
  return tensors
}

function checkedBytes(file: string, name: string, type: TensorType, shape: readonly number[]): number {
  const count = shape.reduce((product, extent) => product * extent, 1)
  if (shape.some((extent) => extent < 1) || !Number.isSafeInteger(count)) {
    throw new ModelFileError(file, `has the impossible shape [${shape.join(', ')}]`, { tensor: name })
  }
  const { blockSize } = tensorTypes[type]
  if (shape[0]! % blockSize !== 0) {
    throw new ModelFileError(
      file,
      `has rows of ${shape[0]} elements, but ${type} stores them in blocks of ${blockSize}`,
      { tensor: name },
    )
  }
  return tensorBytes(type, shape)
}

/** @throws ModelFileError naming two tensors that share bytes */
export function refuseOverlap(file: string, tensors: Iterable<TensorInfo>): void {
  const byOffset = [...tensors].sort((a, b) => a.offset - b.offset)
  for (const [index, tensor] of byOffset.entries()) {
    const next = byOffset[index + 1]
    if (next && tensor.offset + tensor.sizeBytes > next.offset) {
      throw new ModelFileError(
        file,
        `ends at byte ${tensor.offset + tensor.sizeBytes}, inside tensor ${next.name}, which starts at ${next.offset}`,
        { tensor: tensor.name },
      )
    }
  }
}
