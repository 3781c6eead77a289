import { randomBytes, randomFillSync } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'

const MiB = 2 ** 20
const FILE_BYTES = 128 * MiB
const CHUNK_BYTES = 4 * MiB
/** Neither writing nor reading takes much longer. */
const PHASE_MS = 1_000
/** Direct reads go into memory that begins at a multiple of this, at most. */
const LARGEST_ALIGNMENT = 4096
const ADDRESS_STEP = 16

/**
 * How fast files of a folder are read, in bytes per second. The system's cache is kept out by direct reads of a file
 * written for it, of random bytes; a cache of the disk itself is not. Where there are no direct reads, the rate of
 * writing that file through to the disk stands in: reading is hardly slower.
 */
export async function measureDiskRead(folder: string): Promise<number> {
  const path = join(folder, `disk-${randomBytes(6).toString('hex')}`)
  try {
    const written = await write(path)
    return (await readDirect(path, written.sizeBytes)) ?? written.bytesPerSecond
  } finally {
    await rm(path, { force: true })
  }
}

const rate = (sizeBytes: number, startMs: number): number =>
  (sizeBytes * 1000) / Math.max(0.001, performance.now() - startMs)

async function write(path: string): Promise<{ sizeBytes: number; bytesPerSecond: number }> {
  const chunk = randomFillSync(Buffer.allocUnsafe(CHUNK_BYTES))
  const file = await open(path, 'wx', 0o600)
  try {
    const startMs = performance.now()
    let sizeBytes = 0
    for (; sizeBytes < FILE_BYTES && performance.now() - startMs < PHASE_MS; sizeBytes += CHUNK_BYTES) {
      chunk.writeUInt32LE(sizeBytes / CHUNK_BYTES, 0) // no two alike, for file systems that would notice
      await file.write(chunk, 0, CHUNK_BYTES)
      await file.datasync()
    }
    return { sizeBytes, bytesPerSecond: rate(sizeBytes, startMs) }
  } finally {
    await file.close()
  }
}

/** Null where the system or the file system has no direct reads. */
async function readDirect(path: string, sizeBytes: number): Promise<number | null> {
  const direct: number | undefined = constants.O_DIRECT
  if (direct === undefined) return null
  const file = await open(path, constants.O_RDONLY | direct).catch(() => null)
  if (file === null) return null
  try {
    const memory = Buffer.allocUnsafeSlow(CHUNK_BYTES + LARGEST_ALIGNMENT)
    const offset = await findAlignment(file, memory)
    if (offset === null) return null
    const startMs = performance.now()
    let at = 0
    while (at < sizeBytes && performance.now() - startMs < PHASE_MS) {
      const { bytesRead } = await file.read(memory, offset, CHUNK_BYTES, at)
      if (bytesRead === 0) break
      at += bytesRead
    }
    return at === 0 ? null : rate(at, startMs)
  } finally {
    await file.close()
  }
}

/** Where in the memory a direct read may begin: addresses are not known here, but the system refuses wrong ones. */
async function findAlignment(file: FileHandle, memory: Buffer): Promise<number | null> {
  for (let offset = 0; offset < LARGEST_ALIGNMENT; offset += ADDRESS_STEP) {
    const read = await file.read(memory, offset, LARGEST_ALIGNMENT, 0).catch(() => null)
    if (read !== null) return offset
  }
  return null
}
