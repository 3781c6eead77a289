import { DomainError, MiB } from '@deos/domain'

/** Bytes, half-open: `[first, end)`. */
export interface ByteRange {
  readonly first: number
  readonly end: number
}

/** How a blob is cut, so that parts of it can come from anybody and still be trusted. */
export interface BlobPieces {
  /** SHA-256 of the whole, as `sha256:…`. */
  readonly digest: string
  readonly sizeBytes: number
  /** Of each piece but the last, which may be shorter. */
  readonly pieceBytes: number
  /** SHA-256 of each piece, in the order of the blob. */
  readonly pieces: readonly string[]
}

export const defaultPieceBytes = 4 * MiB
const largestPieceBytes = 64 * MiB
const digestPattern = /^sha256:[0-9a-f]{64}$/

/** A list of pieces that contradicts itself. */
export class BlobPiecesError extends DomainError {
  readonly code = 'BLOB_PIECES_INVALID'
  readonly retriable = false

  constructor(digest: string, reason: string) {
    super(
      `The pieces of ${digest.slice(0, 80)} are not usable: ${reason}.`,
      'Ask whoever cut it for the list again.',
    )
  }
}

/** The hexadecimal digits of a digest, which names files safely. @throws BlobPiecesError */
export function hexOf(digest: string): string {
  if (!digestPattern.test(digest)) {
    throw new BlobPiecesError(digest, 'a digest is "sha256:" and 64 hexadecimal digits')
  }
  return digest.slice('sha256:'.length)
}

/** @throws BlobPiecesError unless the list can be that of a blob */
export function checkPieces(blob: BlobPieces): void {
  const { digest, sizeBytes, pieceBytes, pieces } = blob
  hexOf(digest)
  const refuse = (reason: string) => {
    throw new BlobPiecesError(digest, reason)
  }
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) refuse(`${sizeBytes} is not a size`)
  if (!Number.isSafeInteger(pieceBytes) || pieceBytes < 1 || pieceBytes > largestPieceBytes) {
    refuse(`pieces have ${pieceBytes} bytes; 1 to ${largestPieceBytes} are possible`)
  }
  const wanted = Math.ceil(sizeBytes / pieceBytes)
  if (pieces.length !== wanted) {
    refuse(`${sizeBytes} bytes make ${wanted} pieces of ${pieceBytes}, but ${pieces.length} are listed`)
  }
  if (!pieces.every((piece) => digestPattern.test(piece))) refuse('a piece has no proper digest')
}

/** Where a piece lies in its blob. */
export const rangeOfPiece = (
  { sizeBytes, pieceBytes }: Pick<BlobPieces, 'sizeBytes' | 'pieceBytes'>,
  index: number,
): ByteRange => ({ first: index * pieceBytes, end: Math.min(sizeBytes, (index + 1) * pieceBytes) })

/**
 * Numbers of the pieces that hold any byte of the ranges, in order.
 *
 * @throws RangeError if a range is not within the blob
 */
export function piecesOver(blob: BlobPieces, ranges: readonly ByteRange[]): readonly number[] {
  const found = new Set<number>()
  for (const { first, end } of ranges) {
    checkRange(blob, { first, end })
    for (let index = Math.floor(first / blob.pieceBytes); index * blob.pieceBytes < end; index += 1) {
      if (end > first) found.add(index)
    }
  }
  return [...found].sort((a, b) => a - b)
}

/** @throws RangeError if the range is not within the blob */
export function checkRange({ sizeBytes }: Pick<BlobPieces, 'sizeBytes'>, { first, end }: ByteRange): void {
  const whole = Number.isSafeInteger(first) && Number.isSafeInteger(end)
  if (whole && first >= 0 && first <= end && end <= sizeBytes) return
  throw new RangeError(`Bytes [${first}, ${end}) are not within a blob of ${sizeBytes}.`)
}
