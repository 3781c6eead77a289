import { randomUUID } from 'node:crypto'
import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type TensorType, tensorBytes, tensorTypes } from '../ggml/tensor-type.ts'
import { ModelWriteError } from './errors.ts'
import {
  arrayId,
  boolId,
  elementTypeId,
  type GgufElementType,
  type GgufScalar,
  type GgufValue,
  ggufNumbers,
  stringId,
} from './gguf-values.ts'

/** Offsets of tensors in files we write, so that they can be mapped and used in place. */
export const tensorAlignment = 32

/** A tensor to write; `data` is asked for once, when its turn comes. */
export interface PlannedTensor {
  readonly name: string
  readonly type: TensorType
  /** Fastest dim first. */
  readonly shape: readonly number[]
  data(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

export interface GgufWriteOptions {
  readonly path: string
  /** Written in order; `general.alignment` is left out, as tensors are aligned to the default of 32. */
  readonly metadata: Iterable<readonly [key: string, value: GgufValue]>
  readonly tensors: readonly PlannedTensor[]
  /** Replace a file that is there already. */
  readonly overwrite?: boolean
  readonly onBytes?: (written: number, tensor: PlannedTensor) => void
  readonly signal?: AbortSignal | undefined
}

/**
 * Writes a GGUF file (version 3) beside its place and moves it there when complete, so that nobody ever sees
 * half a file; on any failure or abort nothing is left behind.
 *
 * @returns size of the file in bytes
 * @throws ModelWriteError if the file exists and `overwrite` is not set, or the disk refuses
 */
export async function writeGguf(options: GgufWriteOptions): Promise<number> {
  const { path, overwrite = false } = options
  if (!overwrite) await refuseExisting(path)
  const temporary = `${path}.${process.pid}.${randomUUID()}.tmp`
  try {
    await mkdir(dirname(path), { recursive: true })
    const size = await writeFile(temporary, options)
    if (!overwrite) await refuseExisting(path)
    await rename(temporary, path)
    return size
  } catch (error) {
    // Whatever stands in the way of cleaning up is what stood in the way of writing.
    await rm(temporary, { force: true }).catch(() => undefined)
    throw isSystemError(error) ? diskError(path, error) : error
  }
}

async function refuseExisting(path: string): Promise<void> {
  const present = await stat(path).catch(() => null)
  if (present) {
    throw new ModelWriteError(path, 'exists already', 'Choose another output or ask to overwrite it.')
  }
}

const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && 'syscall' in error && 'code' in error

function diskError(path: string, error: NodeJS.ErrnoException): ModelWriteError {
  const hint =
    error.code === 'ENOSPC'
      ? 'Free disk space or choose an output on another disk.'
      : 'Check that the folder can be written.'
  return new ModelWriteError(path, `could not be written: ${error.message}`, hint, error)
}

async function writeFile(path: string, options: GgufWriteOptions): Promise<number> {
  const { tensors, signal } = options
  const handle = await open(path, 'wx')
  let written = 0
  const write = async (data: Uint8Array): Promise<void> => {
    let done = 0
    while (done < data.length) done += (await handle.write(data, done, data.length - done)).bytesWritten
    written += data.length
  }
  try {
    await write(encodeHeader(options.metadata, tensors))
    for (const tensor of tensors) {
      const expected = tensorBytes(tensor.type, tensor.shape)
      const start = written
      for await (const chunk of tensor.data()) {
        signal?.throwIfAborted()
        await write(chunk)
        options.onBytes?.(chunk.length, tensor)
      }
      if (written - start !== expected) {
        throw new Error(`Tensor ${tensor.name} yielded ${written - start} bytes instead of ${expected}.`)
      }
      await write(new Uint8Array(padding(expected)))
    }
    signal?.throwIfAborted()
    await handle.sync()
    return written
  } finally {
    await handle.close()
  }
}

const padding = (size: number): number => (tensorAlignment - (size % tensorAlignment)) % tensorAlignment

function encodeHeader(
  metadata: Iterable<readonly [string, GgufValue]>,
  tensors: readonly PlannedTensor[],
): Buffer {
  const entries = [...metadata].filter(([key]) => key !== 'general.alignment')
  const keys = new Set(entries.map(([key]) => key))
  const names = new Set(tensors.map(({ name }) => name))
  if (keys.size !== entries.length || names.size !== tensors.length) {
    throw new Error('A GGUF file holds each metadata key and each tensor once.')
  }
  const parts = [Buffer.from('GGUF'), encodeUint32(3), encodeSize(tensors.length), encodeSize(entries.length)]
  for (const [key, value] of entries) parts.push(encodeText(key), encodeValue(value))
  let offset = 0
  for (const { name, type, shape } of tensors) {
    parts.push(encodeText(name), encodeUint32(shape.length), ...shape.map(encodeSize))
    parts.push(encodeUint32(tensorTypes[type].id), encodeSize(offset))
    const size = tensorBytes(type, shape)
    offset += size + padding(size)
  }
  const header = Buffer.concat(parts)
  return Buffer.concat([header, Buffer.alloc(padding(header.length))])
}

function encodeUint32(value: number): Buffer {
  const data = Buffer.alloc(4)
  data.writeUInt32LE(value)
  return data
}

function encodeSize(value: number): Buffer {
  const data = Buffer.alloc(8)
  data.writeBigUInt64LE(BigInt(value))
  return data
}

function encodeText(text: string): Buffer {
  const data = Buffer.from(text, 'utf8')
  return Buffer.concat([encodeSize(data.length), data])
}

function encodeValue(entry: GgufValue): Buffer {
  if (entry.type === 'array') {
    const head = [encodeUint32(arrayId), encodeUint32(elementTypeId(entry.elementType))]
    return Buffer.concat([
      ...head,
      encodeSize(entry.value.length),
      encodeElements(entry.elementType, entry.value),
    ])
  }
  const id = entry.type === 'bool' ? boolId : entry.type === 'string' ? stringId : ggufNumbers[entry.type].id
  return Buffer.concat([encodeUint32(id), encodeElements(entry.type, [entry.value])])
}

function encodeElements(type: GgufElementType, values: readonly GgufScalar[]): Buffer {
  if (type === 'string') return Buffer.concat(values.map((value) => encodeText(String(value))))
  if (type === 'bool') return Buffer.from(values.map((value) => (value === true ? 1 : 0)))
  const { sizeBytes, write } = ggufNumbers[type]
  const data = Buffer.alloc(sizeBytes * values.length)
  for (const [index, value] of values.entries()) write(data, value as number | bigint, index * sizeBytes)
  return data
}
