import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { readFully } from './file-cursor.ts'
import type { TensorInfo } from './model-source.ts'

/** Bytes read at the start and in the middle of every tensor. */
const sampleBytes = 1024
const hashChunkBytes = 1 << 20

interface Fingerprinted {
  /** Anything beside the files that belongs to the model. */
  readonly describe: string
  readonly headers: readonly {
    readonly path: string
    readonly headerBytes: number
    readonly sizeBytes: number
  }[]
  readonly tensors: Iterable<TensorInfo>
}

/**
 * SHA-256 over all headers, file sizes and samples of every tensor: as cheap as opening the model, equal for
 * copies in other places, different after training or another conversion. An edit of a few bytes in place may
 * escape it.
 *
 * @returns 64 hexadecimal digits
 */
export async function fingerprint(model: Fingerprinted): Promise<string> {
  const hash = createHash('sha256').update(model.describe)
  const handles = new Map<string, FileHandle>()
  try {
    for (const { path, headerBytes, sizeBytes } of model.headers) {
      const handle = await open(path, 'r')
      handles.set(path, handle)
      hash.update(`\n${sizeBytes}\n`)
      await update(hash, handle, path, 0, headerBytes)
    }
    for (const { name, file, offset, sizeBytes } of model.tensors) {
      const handle = handles.get(file)
      if (!handle) throw new Error(`${file} of tensor ${name} is not among the model's files.`)
      const length = Math.min(sampleBytes, sizeBytes)
      await update(hash, handle, file, offset, length)
      await update(hash, handle, file, offset + Math.floor((sizeBytes - length) / 2), length)
    }
    return hash.digest('hex')
  } finally {
    for (const handle of handles.values()) await handle.close()
  }
}

async function update(
  hash: Hash,
  handle: FileHandle,
  file: string,
  start: number,
  length: number,
): Promise<void> {
  const end = start + length
  for (let at = start; at < end; at += hashChunkBytes) {
    const chunk = Buffer.allocUnsafe(Math.min(hashChunkBytes, end - at))
    await readFully(handle, file, chunk, at)
    hash.update(chunk)
  }
}
