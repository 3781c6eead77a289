/**
 * @packageDocumentation
 * Large files that are named by their content, and may be there in part: cutting them into pieces, keeping and fetching
 * pieces, and laying models out of them. Whoever hands over bytes need not be trusted, whoever hands over the list of
 * pieces must be. Imports `domain` only; what is read of a model's files is handed in. Start at {@link PieceStore} and
 * {@link fetchModel}.
 */

export {
  type BlobPieces,
  BlobPiecesError,
  type ByteRange,
  checkPieces,
  defaultPieceBytes,
} from './blob-pieces.ts'
export { BlobFetchError, type BlobSource } from './blob-source.ts'
export { calibrationEnding, withoutCalibration } from './calibration-file.ts'
export { type CutOptions, cutBlob } from './cut-blob.ts'
export { type FetchModelOptions, type FetchProgress, fetchModel, type ModelBlob } from './fetch-model.ts'
export { checkFileName, UnsafeFileNameError } from './file-name.ts'
export { type LinkedFile, linkModel } from './link-model.ts'
export { type EnsureOptions, type FetchedPiece, PieceStore, type PieceStoreOptions } from './piece-store.ts'
export { BlobMissingError, BlobWriteError } from './stored-blob.ts'
