import type { StageReport } from '@deos/protocol'

/** Promises and the first token of the decode ring may take so long before a hand-over is given up. */
export const ANSWER_MS = 30_000
/** Keys or values of a block of 128 positions with 2,048 columns of halves. */
export const MAX_BLOCK_BYTES = 512 * 1024
/** Half of what a frame carries. */
const LARGEST_BLOCK_BYTES = 32 * 1024 * 1024
/** More than a block that travels as it is stored has before its values. */
const HEAD_BYTES = 64

/**
 * What a block may have at most: where layers are wide, or blocks long, more than usual. Taken from the keys and values
 * of a layer together, since layers of a stage may differ and of some all is in the keys.
 *
 * @param usualBytes - that are enough for most models
 */
export function largestBlockBytes(
  blockTokens: number,
  usualBytes: number,
  reports: readonly Pick<StageReport, 'kv' | 'layers'>[],
): number {
  const ofLayer = reports.map(({ kv, layers: [first, end] }) =>
    kv === null ? 0 : ((kv.type === 'F32' ? 4 : 2) * kv.columns) / (end - first),
  )
  const bytes = Math.ceil(blockTokens * Math.max(0, ...ofLayer)) + HEAD_BYTES
  return Math.min(LARGEST_BLOCK_BYTES, Math.max(usualBytes, bytes))
}
