import { createHash, type Hash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { type BlobPieces, defaultPieceBytes } from './blob-pieces.ts'

/** Hashed between two turns of the event loop: about a millisecond of work. */
const sliceBytes = 512 * 1024

export interface CutOptions {
  readonly pieceBytes?: number
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void
  readonly signal?: AbortSignal | undefined
}

/**
 * Digests of a file and of its pieces, in one pass.
 *
 * @throws the system's error if it cannot be read, the signal's reason when aborted
 */
export async function cutBlob(path: string, options: CutOptions = {}): Promise<BlobPieces> {
  const { pieceBytes = defaultPieceBytes, onProgress, signal } = options
  const file = await open(path, 'r')
  try {
    const totalBytes = (await file.stat()).size
    const cutter = new Cutter(pieceBytes)
    const slice = Buffer.allocUnsafe(sliceBytes)
    for (let doneBytes = 0; ; ) {
      signal?.throwIfAborted()
      const { bytesRead } = await file.read(slice, 0, slice.length, doneBytes)
      if (bytesRead === 0) return cutter.finish()
      cutter.push(slice.subarray(0, bytesRead))
      doneBytes += bytesRead
      onProgress?.({ doneBytes, totalBytes })
    }
  } finally {
    await file.close()
  }
}

export const digestOf = (hash: Hash): string => `sha256:${hash.digest('hex')}`

class Cutter {
  readonly #whole = createHash('sha256')
  readonly #pieces: string[] = []
  #piece = createHash('sha256')
  #inPiece = 0
  #sizeBytes = 0

  constructor(readonly pieceBytes: number) {}

  push(bytes: Uint8Array): void {
    this.#whole.update(bytes)
    this.#sizeBytes += bytes.length
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + this.pieceBytes - this.#inPiece)
      this.#piece.update(part)
      this.#inPiece += part.length
      at += part.length
      if (this.#inPiece === this.pieceBytes) this.#endPiece()
    }
  }

  finish(): BlobPieces {
    if (this.#inPiece > 0) this.#endPiece()
    return {
      digest: digestOf(this.#whole),
      sizeBytes: this.#sizeBytes,
      pieceBytes: this.pieceBytes,
      pieces: this.#pieces,
    }
  }

  #endPiece(): void {
    this.#pieces.push(digestOf(this.#piece))
    this.#piece = createHash('sha256')
    this.#inPiece = 0
  }
}
