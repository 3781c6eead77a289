import { createHash } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A block that lies on disk. */
export interface StoredBlock {
  readonly key: string
  /** Of the block, its header left out. */
  readonly sizeBytes: number
  readonly recomputeMs: number
}

/** Where blocks lie that memory has no room for. */
export interface BlockFiles {
  /** Blocks from earlier lives. */
  list(): Promise<readonly StoredBlock[]>
  write(key: string, bytes: Uint8Array, recomputeMs: number): Promise<void>
  /** @returns null for a block that is not there or not what was written */
  read(key: string): Promise<Uint8Array | null>
  remove(key: string): Promise<void>
}

const MAGIC = 0x31564b44 // "DKV1"
const DIGEST_BYTES = 32
/** Magic, recompute time, digest. */
export const BLOCK_HEADER_BYTES = 12 + DIGEST_BYTES
const UNFINISHED = '.part'
/** Keys become file names. */
const keyPattern = /^[0-9a-z][0-9a-z.-]{0,199}$/

const isKey = (name: string) => keyPattern.test(name) && !name.endsWith(UNFINISHED)
const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()

/** Files of one folder, which nobody else writes to: a header with the digest, then the block. */
export class DiskBlockFiles implements BlockFiles {
  private constructor(private readonly folder: string) {}

  static async open(folder: string): Promise<DiskBlockFiles> {
    await mkdir(folder, { recursive: true })
    return new DiskBlockFiles(folder)
  }

  /** Removes what is no block on the way. */
  async list(): Promise<readonly StoredBlock[]> {
    const blocks: StoredBlock[] = []
    for (const entry of await readdir(this.folder, { withFileTypes: true })) {
      if (!entry.isFile()) continue
      const block = isKey(entry.name) ? await this.describe(entry.name) : null
      if (block === null) await this.remove(entry.name)
      else blocks.push(block)
    }
    return blocks
  }

  async write(key: string, bytes: Uint8Array, recomputeMs: number): Promise<void> {
    const path = this.path(key)
    const header = Buffer.alloc(BLOCK_HEADER_BYTES)
    header.writeUInt32LE(MAGIC, 0)
    header.writeDoubleLE(recomputeMs, 4)
    header.set(digest(bytes), 12)
    // Renamed when it is whole; after a power cut its digest tells whether it is.
    await writeFile(path + UNFINISHED, Buffer.concat([header, bytes]))
    await rename(path + UNFINISHED, path)
  }

  async read(key: string): Promise<Uint8Array | null> {
    let file: Buffer
    try {
      file = await readFile(this.path(key))
    } catch {
      return null
    }
    if (file.length < BLOCK_HEADER_BYTES || file.readUInt32LE(0) !== MAGIC) return null
    const bytes = new Uint8Array(
      file.buffer,
      file.byteOffset + BLOCK_HEADER_BYTES,
      file.length - BLOCK_HEADER_BYTES,
    )
    return digest(bytes).equals(file.subarray(12, BLOCK_HEADER_BYTES)) ? bytes : null
  }

  remove(key: string): Promise<void> {
    return rm(join(this.folder, key), { force: true })
  }

  private async describe(key: string): Promise<StoredBlock | null> {
    const file = await open(this.path(key))
    try {
      const header = Buffer.alloc(BLOCK_HEADER_BYTES)
      const { bytesRead } = await file.read(header, 0, BLOCK_HEADER_BYTES, 0)
      const { size } = await file.stat()
      const recomputeMs = header.readDoubleLE(4)
      const isBlock = bytesRead === BLOCK_HEADER_BYTES && header.readUInt32LE(0) === MAGIC
      if (!isBlock || size === BLOCK_HEADER_BYTES || !(recomputeMs >= 0 && Number.isFinite(recomputeMs)))
        return null
      return { key, sizeBytes: size - BLOCK_HEADER_BYTES, recomputeMs }
    } finally {
      await file.close()
    }
  }

  private path(key: string): string {
    if (!isKey(key)) throw new RangeError(`${key} is no key of a block.`)
    return join(this.folder, key)
  }
}
