import type { PositionRange } from '@deos/domain'
import type { KvAddress, KvShape } from '@deos/protocol'

export const parts = ['key', 'value'] as const

/** Positions of a block in its session. */
export function blockPositions(
  { length, blockTokens }: KvShape,
  { block }: Pick<KvAddress, 'block'>,
): PositionRange {
  return { first: block * blockTokens, end: Math.min(length, (block + 1) * blockTokens) }
}

/**
 * Where an engine keeps positions of a sequence.
 *
 * @param pages - of the sequence from position `origin` on, a multiple of the page size
 */
export function placeOf(
  { first, end }: PositionRange,
  origin: number,
  pages: readonly number[],
  pageTokens: number,
) {
  const from = Math.floor((first - origin) / pageTokens)
  const start = origin + from * pageTokens
  return {
    pages: pages.slice(from, Math.ceil((end - origin) / pageTokens)),
    positions: { first: first - start, end: end - start },
  }
}
