import { type LayerRange, layerCount } from '@deos/domain'
import type { KvAddress, KvShape } from './transfer-messages.ts'

/**
 * The blocks of some layers of a session, numbered in the order in which they are needed: by position, then layer, then
 * part. So what has arrived when a sender dies is a prefix of all layers.
 */
export class KvSlice {
  readonly blocks: number
  readonly size: number

  constructor(
    readonly shape: KvShape,
    readonly layers: LayerRange,
  ) {
    this.blocks = blocksOf(shape)
    this.size = this.blocks * this.perBlock
  }

  /** Layers times parts. */
  get perBlock(): number {
    return layerCount(this.layers) * this.shape.parts
  }

  /** -1 if it is not one of these. */
  index({ block, layer, part }: KvAddress): number {
    const { first, end } = this.layers
    const { parts } = this.shape
    if (block >= this.blocks || layer < first || layer >= end || part >= parts) return -1
    return block * this.perBlock + (layer - first) * parts + part
  }

  address(index: number): KvAddress {
    const { parts } = this.shape
    const inside = index % this.perBlock
    return {
      block: (index - inside) / this.perBlock,
      layer: this.layers.first + Math.floor(inside / parts),
      part: inside % parts,
    }
  }

  /** Position behind the last one of a block. */
  end(block: number): number {
    return Math.min(this.shape.length, (block + 1) * this.shape.blockTokens)
  }
}

/** Blocks of positions, of which each layer and part has one. */
export const blocksOf = ({ length, blockTokens }: KvShape): number => Math.ceil(length / blockTokens)

/** The layers that two ranges have in common; `null` if there are none. */
export function commonLayers(a: LayerRange, b: LayerRange): LayerRange | null {
  const first = Math.max(a.first, b.first)
  const end = Math.min(a.end, b.end)
  return first < end ? { first, end } : null
}
