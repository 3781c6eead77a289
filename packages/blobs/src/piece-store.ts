import { constants, copyFile, link, mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type BlobPieces,
  type ByteRange,
  checkPieces,
  checkRange,
  hexOf,
  piecesOver,
  rangeOfPiece,
} from './blob-pieces.ts'
import { type BlobSource, PieceFetcher } from './blob-source.ts'
import { type CutOptions, cutBlob } from './cut-blob.ts'
import { BlobMissingError, errorCode, folderOf, StoredBlob, writing } from './stored-blob.ts'

export interface PieceStoreOptions {
  /** Milliseconds since 1970. */
  readonly now?: () => number
}

export interface FetchedPiece {
  readonly index: number
  readonly sizeBytes: number
}

export interface EnsureOptions {
  /** After each piece, also those that were there already. */
  readonly onPiece?: (piece: FetchedPiece) => void
  readonly signal?: AbortSignal | undefined
  /** Pieces in flight at once. Default: 4. */
  readonly parallel?: number
  /** A source that is silent for so long is given up. Default: 30 s. */
  readonly idleMs?: number
}

const readBytes = 1 << 20
/** What was used so recently is kept: somebody may be about to link to it. */
const keptMs = 60_000
/** Uses are noted at most so often. */
const touchMs = 10_000
/** What a process that died left behind. */
const abandonedMs = 24 * 60 * 60 * 1000

/**
 * Blobs by their digest, each of which may be there in part: a file of its full size with holes, and a record of the
 * pieces that are there. A piece counts only after its bytes were checked, written and synced. Any number of processes
 * may use one folder.
 */
export class PieceStore {
  readonly #known = new Map<string, StoredBlob>()
  readonly #touched = new Map<string, number>()
  /** Pieces that this process fetches now. */
  readonly #inFlight = new Map<string, Promise<void>>()
  readonly #held = new Map<string, number>()

  private constructor(
    private readonly root: string,
    private readonly now: () => number,
  ) {}

  /** @throws BlobWriteError if the folder cannot be made */
  static async open(folder: string, { now = Date.now }: PieceStoreOptions = {}): Promise<PieceStore> {
    const store = new PieceStore(folder, now)
    await writing(folder, async () => {
      for (const name of ['blobs', 'new', 'removed']) await mkdir(join(folder, name), { recursive: true })
      await store.#removeAbandoned()
    })
    return store
  }

  /** Whether all bytes of the range are there. @throws RangeError if it is not within the blob */
  async has(digest: string, range: ByteRange): Promise<boolean> {
    return (await this.#find(digest))?.has(range) ?? false
  }

  /** How a blob is cut of which something is here. */
  async pieces(digest: string): Promise<BlobPieces | null> {
    return (await this.#find(digest))?.blob ?? null
  }

  /**
   * The file of a blob, with holes where pieces are missing.
   *
   * @throws BlobMissingError
   */
  async pathOf(digest: string): Promise<string> {
    const stored = await this.#find(digest)
    if (stored === null) throw new BlobMissingError(digest, 'Every piece')
    return stored.path
  }

  /** @throws BlobMissingError if some of the bytes are not there; RangeError */
  async *read(digest: string, range: ByteRange): AsyncGenerator<Uint8Array> {
    const stored = await this.#find(digest)
    if (stored === null || !(await stored.has(range))) {
      throw new BlobMissingError(digest, `A piece of bytes [${range.first}, ${range.end})`)
    }
    checkRange(stored.blob, range)
    await this.#touch(stored)
    const file = await open(stored.path, 'r')
    try {
      for (let at = range.first; at < range.end; ) {
        const chunk = new Uint8Array(Math.min(readBytes, range.end - at))
        const { bytesRead } = await file.read(chunk, 0, chunk.length, at)
        if (bytesRead === 0) throw new BlobMissingError(digest, `Byte ${at}`)
        yield chunk.subarray(0, bytesRead)
        at += bytesRead
      }
    } finally {
      await file.close()
    }
  }

  /**
   * Fetches the pieces over the ranges that are missing, and makes the blob known if it was not.
   *
   * @param sources - asked in this order for each piece
   * @throws BlobPiecesError, BlobFetchError, BlobWriteError, RangeError; the signal's reason when aborted. Pieces that
   *   came before stay
   */
  async ensure(
    blob: BlobPieces,
    ranges: readonly ByteRange[],
    sources: readonly BlobSource[],
    options: EnsureOptions = {},
  ): Promise<void> {
    checkPieces(blob)
    const wanted = piecesOver(blob, ranges)
    await this.hold(blob.digest, async () => {
      const stored = await this.#prepare(blob)
      await this.#touch(stored)
      await stored.refresh()
      await this.#fetchAll(stored, wanted, new PieceFetcher(sources, options.idleMs ?? 30_000), options)
    })
  }

  /** Keeps a blob from being evicted by this process while something is done with it. */
  async hold<T>(digest: string, work: () => Promise<T>): Promise<T> {
    this.#held.set(digest, (this.#held.get(digest) ?? 0) + 1)
    try {
      return await work()
    } finally {
      const left = this.#held.get(digest)! - 1
      if (left > 0) this.#held.set(digest, left)
      else this.#held.delete(digest)
    }
  }

  /**
   * Takes over a complete file: by a hard link, so that it must not be changed afterwards, or as a copy where that is
   * not possible.
   *
   * @throws BlobWriteError; the signal's reason when aborted
   */
  async adopt(path: string, options: CutOptions = {}): Promise<BlobPieces> {
    const blob = await cutBlob(path, options)
    const folder = folderOf(this.root, blob.digest)
    if ((await this.#find(blob.digest)) === null) {
      await writing(folder, () => this.#takeOver(folder, blob, path))
    }
    // One that was there in part is filled, since others may have linked to it.
    await this.ensure(blob, [{ first: 0, end: blob.sizeBytes }], [fileSource(path)], options)
    return blob
  }

  /** Forgets a blob. Who has linked to it keeps the bytes. */
  async remove(digest: string): Promise<void> {
    const folder = folderOf(this.root, digest)
    this.#known.delete(digest)
    this.#touched.delete(digest)
    const removed = join(this.root, 'removed', `${hexOf(digest)}-${process.pid}-${process.hrtime.bigint()}`)
    await writing(folder, async () => {
      try {
        await rename(folder, removed)
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return
        throw error
      }
      await rm(removed, { recursive: true, force: true })
    })
  }

  /** What the blobs take on disk; holes take nothing. */
  async usedBytes(): Promise<number> {
    return (await this.#usage()).reduce((sum, { usedBytes }) => sum + usedBytes, 0)
  }

  /**
   * Removes blobs until no more than `limitBytes` are used: the least recently used ones first, and none that a model's
   * folder links to or that was used in the last minute.
   *
   * @returns digests of what was removed
   */
  async evict(limitBytes: number): Promise<readonly string[]> {
    const usage = await this.#usage()
    let left = usage.reduce((sum, { usedBytes }) => sum + usedBytes, 0)
    const removed: string[] = []
    const spare = usage.filter(
      ({ digest, links, usedAtMs }) =>
        links <= 1 && !this.#held.has(digest) && this.now() - usedAtMs > keptMs,
    )
    for (const { digest, usedBytes } of spare.sort((a, b) => a.usedAtMs - b.usedAtMs)) {
      if (left <= limitBytes) break
      await this.remove(digest)
      left -= usedBytes
      removed.push(digest)
    }
    return removed
  }

  async #find(digest: string): Promise<StoredBlob | null> {
    const known = this.#known.get(digest)
    if (known && (await known.isSound())) return known
    const found = await StoredBlob.find(folderOf(this.root, digest))
    // Found under another's name, it is not what it says.
    if (found === null || found.blob.digest !== digest) this.#known.delete(digest)
    else this.#known.set(digest, found)
    return this.#known.get(digest) ?? null
  }

  async #prepare(blob: BlobPieces): Promise<StoredBlob> {
    const found = await this.#find(blob.digest)
    if (found && sameCut(found.blob, blob)) return found
    const folder = folderOf(this.root, blob.digest)
    // Cut differently, or damaged: what is there cannot be told apart.
    await this.remove(blob.digest)
    return writing(folder, () => this.#create(folder, blob))
  }

  async #create(
    folder: string,
    blob: BlobPieces,
    bytes?: (path: string) => Promise<void>,
  ): Promise<StoredBlob> {
    try {
      const made = await StoredBlob.create(folder, join(this.root, 'new'), blob, bytes)
      this.#known.set(blob.digest, made)
      return made
    } catch (error) {
      // Another process was faster.
      const theirs = await this.#find(blob.digest)
      if (theirs && sameCut(theirs.blob, blob)) return theirs
      throw error
    }
  }

  async #takeOver(folder: string, blob: BlobPieces, path: string): Promise<void> {
    await this.#create(folder, blob, async (target) => {
      try {
        await link(path, target)
      } catch (error) {
        if (!['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP'].includes(errorCode(error) ?? '')) {
          throw error
        }
        await copyFile(path, target, constants.COPYFILE_FICLONE)
      }
    })
  }

  async #fetchAll(
    stored: StoredBlob,
    wanted: readonly number[],
    fetcher: PieceFetcher,
    { onPiece, signal, parallel = 4 }: EnsureOptions,
  ): Promise<void> {
    const failed = new AbortController()
    const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal
    const queue = wanted.values()
    const run = async () => {
      for (const index of queue) {
        either.throwIfAborted()
        await this.#fetchOne(stored, index, fetcher, either)
        const { first, end } = rangeOfPiece(stored.blob, index)
        onPiece?.({ index, sizeBytes: end - first })
      }
    }
    const runs = Array.from({ length: Math.min(parallel, wanted.length) }, () =>
      run().catch((error: unknown) => {
        failed.abort(error)
        throw error
      }),
    )
    // Nothing is still being written when this returns.
    const [failure] = (await Promise.allSettled(runs)).filter(({ status }) => status === 'rejected')
    if (failure) throw failed.signal.reason
  }

  /** One piece is fetched once at a time in a process, however many ask. */
  async #fetchOne(
    stored: StoredBlob,
    index: number,
    fetcher: PieceFetcher,
    signal: AbortSignal,
  ): Promise<void> {
    const range = rangeOfPiece(stored.blob, index)
    const key = `${stored.path} ${index}`
    for (;;) {
      if (await stored.has(range)) return
      const others = this.#inFlight.get(key)
      if (others === undefined) break
      await others.catch(() => {})
      signal.throwIfAborted()
    }
    const work = fetcher.fetch(stored.blob, index, signal).then((bytes) => stored.write(index, bytes))
    this.#inFlight.set(key, work)
    try {
      await work
    } finally {
      this.#inFlight.delete(key)
    }
  }

  async #touch(stored: StoredBlob): Promise<void> {
    const { digest } = stored.blob
    const at = this.now()
    if (at - (this.#touched.get(digest) ?? Number.NEGATIVE_INFINITY) < touchMs) return
    this.#touched.set(digest, at)
    await utimes(stored.recordPath, at / 1000, at / 1000).catch(() => {})
  }

  async #usage(): Promise<{ digest: string; usedBytes: number; usedAtMs: number; links: number }[]> {
    const usage = []
    for (const prefix of await readdir(join(this.root, 'blobs'))) {
      for (const hex of await readdir(join(this.root, 'blobs', prefix)).catch(() => [])) {
        const digest = `sha256:${hex}`
        const stored = await this.#find(digest).catch(() => null)
        const file = stored && (await stat(stored.path).catch(() => null))
        const record = stored && (await stat(stored.recordPath).catch(() => null))
        if (!file || !record) continue
        // Where the system does not say what is allocated, the whole size counts.
        const usedBytes = file.blocks > 0 || file.size === 0 ? file.blocks * 512 : file.size
        usage.push({ digest, usedBytes, usedAtMs: record.mtimeMs, links: file.nlink })
      }
    }
    return usage
  }

  async #removeAbandoned(): Promise<void> {
    for (const folder of ['new', 'removed']) {
      for (const name of await readdir(join(this.root, folder))) {
        const path = join(this.root, folder, name)
        const found = await stat(path).catch(() => null)
        if (found && this.now() - found.mtimeMs > abandonedMs)
          await rm(path, { recursive: true, force: true })
      }
    }
  }
}

const sameCut = (a: BlobPieces, b: BlobPieces): boolean =>
  a.sizeBytes === b.sizeBytes &&
  a.pieceBytes === b.pieceBytes &&
  a.pieces.every((piece, index) => piece === b.pieces[index])

const fileSource = (path: string): BlobSource => ({
  name: path,
  async read(_digest, { first, end }) {
    return (async function* () {
      const file = await open(path, 'r')
      try {
        yield* file.createReadStream({ start: first, end: end - 1, autoClose: false })
      } finally {
        await file.close()
      }
    })()
  },
})
