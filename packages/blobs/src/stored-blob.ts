import { createHash } from 'node:crypto'
import { type FileHandle, mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { DomainError } from '@deos/domain'
import { type BlobPieces, type ByteRange, checkPieces, hexOf, piecesOver } from './blob-pieces.ts'

/** Bytes of a blob that are asked for are not there. */
export class BlobMissingError extends DomainError {
  readonly code = 'BLOB_MISSING'
  readonly retriable = true

  constructor(
    readonly digest: string,
    what: string,
  ) {
    super(`${what} of ${digest} is not here.`, 'Fetch it from somewhere else, or try again later.')
  }
}

/** The disk refused. */
export class BlobWriteError extends DomainError {
  readonly code = 'BLOB_WRITE_FAILED'
  readonly retriable = true

  constructor(path: string, cause: unknown) {
    const full = ['ENOSPC', 'EDQUOT'].includes(errorCode(cause) ?? '')
    super(
      `${path} could not be written: ${cause instanceof Error ? cause.message : String(cause)}.`,
      full ? 'Free some disk space.' : 'Check that the folder may be written to, and the disk.',
      { cause },
    )
  }
}

export const errorCode = (error: unknown): string | null =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null

/** Names what the disk refused. */
export async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const code = errorCode(error)
    if (code === null || error instanceof DomainError) throw error
    throw new BlobWriteError(path, error)
  }
}

const incarnationPattern = /^[0-9a-f]{16}$/
/** Lines of a record that are read between two turns of the event loop. */
const linesPerTurn = 4096

/**
 * A blob on disk that may be there in part. Its folder `<hex>` holds three files that are named by the blob's
 * incarnation, so that they never mix with those of one that was removed and made again: `<incarnation>` with the bytes,
 * of the blob's full size from the beginning; `.cut` with the list of pieces; and `.have`, the record of pieces that are
 * there. A line is appended to the record when its piece has been synced, and counts only if it is whole.
 */
export class StoredBlob {
  readonly #have: Set<number>
  #recordBytes = 0
  /** The end of the record that is no whole line yet. */
  #rest = ''
  /** Settles when nobody reads the record. */
  #refreshed: Promise<unknown> = Promise.resolve()

  private constructor(
    readonly folder: string,
    readonly incarnation: string,
    readonly blob: BlobPieces,
  ) {
    this.#have = new Set()
  }

  /** @returns `null` if the blob is not there, or damaged */
  static async find(folder: string): Promise<StoredBlob | null> {
    const names = await readdir(folder).catch(() => [] as string[])
    const incarnation = names.find((name) => incarnationPattern.test(name))
    if (incarnation === undefined) return null
    const blob = await readCut(join(folder, `${incarnation}.cut`))
    if (blob === null) return null
    const found = new StoredBlob(folder, incarnation, blob)
    return (await found.isSound()) ? found : null
  }

  /**
   * Makes an empty one that takes its place only when all of it is there.
   *
   * @param bytes - a complete file, to be taken over by a link or copy
   */
  static async create(
    folder: string,
    temporary: string,
    blob: BlobPieces,
    bytes?: (path: string) => Promise<void>,
  ): Promise<StoredBlob> {
    const made = await mkdtemp(join(temporary, 'new-'))
    try {
      const incarnation = hashOf(`${made} ${process.pid} ${process.hrtime.bigint()}`).slice(0, 16)
      const own = new StoredBlob(made, incarnation, blob)
      if (bytes) await bytes(own.path)
      else await writeSynced(own.path, (file) => file.truncate(blob.sizeBytes))
      await writeSynced(own.recordPath, async (file) => {
        if (bytes) await file.writeFile(blob.pieces.map((_, index) => own.#lineOf(index)).join(''))
      })
      await writeSynced(join(made, `${incarnation}.cut`), (file) => file.writeFile(JSON.stringify(blob)))
      await mkdir(join(folder, '..'), { recursive: true })
      await rename(made, folder)
      return new StoredBlob(folder, incarnation, blob)
    } finally {
      await rm(made, { recursive: true, force: true })
    }
  }

  get path(): string {
    return join(this.folder, this.incarnation)
  }

  get recordPath(): string {
    return `${this.path}.have`
  }

  /** Whether it is still the one that was found. */
  async isSound(): Promise<boolean> {
    const found = await stat(this.path).catch(() => null)
    return found?.isFile() === true && found.size === this.blob.sizeBytes
  }

  /** Reads what was added to the record since the last time, also by other processes. */
  refresh(): Promise<ReadonlySet<number>> {
    // One after another: two at once would count what they both read twice, and skip as much of what comes.
    const added = this.#refreshed.then(() => this.#readAdded())
    this.#refreshed = added.catch(() => undefined)
    return added
  }

  async #readAdded(): Promise<ReadonlySet<number>> {
    const file = await open(this.recordPath, 'r').catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return null
      throw error
    })
    if (file === null) return this.#have
    try {
      const { size } = await file.stat()
      const added = Buffer.alloc(Math.max(0, size - this.#recordBytes))
      const { bytesRead } = await file.read(added, 0, added.length, this.#recordBytes)
      this.#recordBytes += bytesRead
      const lines = (this.#rest + added.toString('latin1', 0, bytesRead)).split('\n')
      this.#rest = lines.pop() ?? ''
      for (const [number, line] of lines.entries()) {
        if (number % linesPerTurn === linesPerTurn - 1) await setImmediate()
        this.#take(line)
      }
    } finally {
      await file.close()
    }
    return this.#have
  }

  async has(range: ByteRange): Promise<boolean> {
    const wanted = piecesOver(this.blob, [range])
    if (wanted.every((index) => this.#have.has(index))) return true
    const have = await this.refresh()
    return wanted.every((index) => have.has(index))
  }

  /** @param bytes - of the whole piece, checked */
  async write(index: number, bytes: Uint8Array): Promise<void> {
    await writing(this.path, async () => {
      await onFile(this.path, 'r+', async (file) => {
        for (let at = 0; at < bytes.length; ) {
          const position = index * this.blob.pieceBytes + at
          at += (await file.write(bytes, at, bytes.length - at, position)).bytesWritten
        }
        await file.datasync()
      })
      await onFile(this.recordPath, 'a', (file) => file.appendFile(this.#lineOf(index)))
    })
    this.#have.add(index)
  }

  /**
   * A line begins and ends with a line break, so that one after a torn one is whole. It holds a digest of the piece in
   * this incarnation: bytes that a crash left behind make no line.
   */
  #lineOf(index: number): string {
    return `\n${index} ${this.#proofOf(index)}\n`
  }

  #proofOf(index: number): string {
    return hashOf(`${this.incarnation} ${index} ${this.blob.pieces[index]}`).slice(0, 16)
  }

  #take(line: string): void {
    const match = /^(\d{1,15}) ([0-9a-f]{16})$/.exec(line)
    if (match === null) return
    const index = Number(match[1])
    if (index < this.blob.pieces.length && match[2] === this.#proofOf(index)) this.#have.add(index)
  }
}

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex')

async function readCut(path: string): Promise<BlobPieces | null> {
  try {
    const { digest, sizeBytes, pieceBytes, pieces } = JSON.parse(await readFile(path, 'utf8')) as BlobPieces
    const blob = { digest, sizeBytes, pieceBytes, pieces }
    checkPieces(blob)
    return blob
  } catch {
    return null
  }
}

async function onFile(path: string, flags: string, work: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await open(path, flags)
  try {
    await work(file)
  } finally {
    await file.close()
  }
}

const writeSynced = (path: string, work: (file: FileHandle) => Promise<void>): Promise<void> =>
  onFile(path, 'wx', async (file) => {
    await work(file)
    await file.sync()
  })

/** Where a blob's folder is, below the store's. */
export const folderOf = (root: string, digest: string): string => {
  const hex = hexOf(digest)
  return join(root, 'blobs', hex.slice(0, 2), hex)
}
