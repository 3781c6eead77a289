import { type KvPart, type KvSlice, type LayerRange, layerCount } from '@deos/domain'
import { KvIdentityError } from './block-identity.ts'

/** The blocks of some layers of a prompt. */
export interface KvBlockGrid {
  /** Positions of the prompt. */
  readonly length: number
  readonly blockTokens: number
  readonly layers: LayerRange
  /** One where values are read out of the keys. */
  readonly parts: readonly KvPart[]
}

/** Where a block lies in its grid. */
export interface KvBlockPlace {
  /** Of the blocks of positions. */
  readonly block: number
  readonly layer: number
  readonly part: KvPart
}

export const runCount = ({ length, blockTokens }: KvBlockGrid): number => Math.ceil(length / blockTokens)

/** Blocks of each run of positions. */
export const blocksPerRun = ({ layers, parts }: KvBlockGrid): number => layerCount(layers) * parts.length

export const blockCount = (grid: KvBlockGrid): number => runCount(grid) * blocksPerRun(grid)

/**
 * Blocks are numbered by position, then layer, then part: what has come of them in this order is a prefix of the prompt
 * in all layers.
 */
export function blockPlace(grid: KvBlockGrid, index: number): KvBlockPlace {
  const { layers, parts } = grid
  const inRun = index % blocksPerRun(grid)
  return {
    block: (index - inRun) / blocksPerRun(grid),
    layer: layers.first + Math.floor(inRun / parts.length),
    part: parts[inRun % parts.length]!,
  }
}

/**
 * Where an engine keeps a block of a sequence that holds `pages`.
 *
 * @throws KvIdentityError if blocks do not begin where pages do
 */
export function blockSlice(
  grid: KvBlockGrid,
  { block, layer, part }: KvBlockPlace,
  pages: readonly number[],
  pageTokens: number,
): Omit<KvSlice, 'encoding'> {
  const { blockTokens, length } = grid
  if (blockTokens % pageTokens !== 0) {
    throw new KvIdentityError(
      `Blocks of ${blockTokens} positions do not begin where pages of ${pageTokens} do.`,
      'Take blocks of a multiple of the page size.',
    )
  }
  const first = block * blockTokens
  const end = Math.min(first + blockTokens, length)
  const own = pages.slice(first / pageTokens, Math.ceil(end / pageTokens))
  return { layer, part, pages: own, positions: { first: 0, end: end - first } }
}
