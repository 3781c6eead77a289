import { join } from 'node:path'
import { type BlobPieces, BlobPiecesError, type ByteRange, piecesOver, rangeOfPiece } from './blob-pieces.ts'
import type { BlobSource } from './blob-source.ts'
import { checkFileName } from './file-name.ts'
import { linkModel } from './link-model.ts'
import type { PieceStore } from './piece-store.ts'

/** A file of a model. */
export interface ModelBlob {
  /** Within the model's folder; not trusted. */
  readonly name: string
  readonly digest: string
  readonly sizeBytes: number
}

export interface FetchProgress {
  readonly doneBytes: number
  /** Of all that is known to be needed; grows once the headers have been read. */
  readonly totalBytes: number
}

/** Bytes of a file that lies in the model's folder. */
interface RangesOfFile {
  readonly file: string
  readonly ranges: readonly ByteRange[]
}

export interface FetchModelOptions {
  readonly store: PieceStore
  /** Of this model; it comes to hold its files and nothing else. */
  readonly folder: string
  readonly files: readonly ModelBlob[]
  /** From somebody who is trusted: bytes are checked against it. */
  readonly pieces: (digest: string, signal: AbortSignal) => Promise<BlobPieces>
  /** Asked in this order for each piece. */
  readonly sources: readonly BlobSource[]
  /** Asks for what opening the model reads; `readHeaders` of the engine. */
  readonly headersOf: (
    files: readonly string[],
    need: (file: string, range: ByteRange) => Promise<void>,
  ) => Promise<void>
  /** What is needed besides, once the model at a path can be opened; `null` is nothing. */
  readonly rangesOf: ((path: string) => Promise<readonly RangesOfFile[]>) | null
  readonly onProgress?: (progress: FetchProgress) => void
  readonly signal?: AbortSignal | undefined
}

/**
 * Fetches as much of a model as is needed, and lays it out as a folder that can be opened if the model's fingerprint is
 * known. Files have their full size and holes where nothing was needed. May be called again, for more.
 *
 * @returns the folder
 * @throws BlobFetchError, BlobPiecesError, BlobWriteError, UnsafeFileNameError; what `pieces`, `headersOf` and `rangesOf`
 *   throw; the signal's reason when aborted
 */
export async function fetchModel(options: FetchModelOptions): Promise<string> {
  const { store, folder, files, headersOf, rangesOf } = options
  for (const { name } of files) checkFileName(name)
  const fetching = new ModelFetching(options)
  return files.reduce(
    (work, { digest }) =>
      () =>
        store.hold(digest, work),
    async () => {
      await fetching.begin()
      const paths = files.map(({ name }) => join(folder, name))
      await headersOf(paths, (file, range) => fetching.need([{ file, ranges: [range] }]))
      if (rangesOf !== null) await fetching.need(await rangesOf(folder))
      return folder
    },
  )()
}

class ModelFetching {
  readonly #blobs = new Map<string, BlobPieces>()
  /** Pieces that are in the total, and those that are done, as `<file> <index>`. */
  readonly #counted = new Set<string>()
  readonly #reported = new Set<string>()
  #doneBytes = 0
  #totalBytes = 0

  constructor(private readonly options: FetchModelOptions) {}

  /** Makes the folder, whose files have no bytes yet. */
  async begin(): Promise<void> {
    const { store, folder, files, pieces, sources, signal = new AbortController().signal } = this.options
    const linked = []
    for (const { name, digest, sizeBytes } of files) {
      const blob = await pieces(digest, signal)
      signal.throwIfAborted()
      if (blob.digest !== digest || blob.sizeBytes !== sizeBytes) {
        throw new BlobPiecesError(digest, `the list is that of ${blob.digest} with ${blob.sizeBytes} bytes`)
      }
      await store.ensure(blob, [], sources, { signal })
      this.#blobs.set(join(folder, name), blob)
      linked.push({ name, path: await store.pathOf(digest) })
    }
    await linkModel(folder, linked)
  }

  async need(wanted: readonly RangesOfFile[]): Promise<void> {
    const { store, sources, signal } = this.options
    for (const { file, ranges } of wanted) {
      for (const index of piecesOver(this.#blobOf(file), ranges)) this.#count(file, index)
    }
    for (const { file, ranges } of wanted) {
      await store.ensure(this.#blobOf(file), ranges, sources, {
        signal,
        onPiece: ({ index, sizeBytes }) => {
          const key = `${file} ${index}`
          if (this.#reported.has(key)) return
          this.#reported.add(key)
          this.#doneBytes += sizeBytes
          this.options.onProgress?.({ doneBytes: this.#doneBytes, totalBytes: this.#totalBytes })
        },
      })
    }
  }

  #blobOf(file: string): BlobPieces {
    const blob = this.#blobs.get(file)
    if (blob === undefined) throw new Error(`${file} is not a file of the model.`)
    return blob
  }

  #count(file: string, index: number): void {
    const key = `${file} ${index}`
    if (this.#counted.has(key)) return
    this.#counted.add(key)
    const { first, end } = rangeOfPiece(this.#blobOf(file), index)
    this.#totalBytes += end - first
  }
}
