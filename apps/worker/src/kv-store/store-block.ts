import type { ValuedBlock } from '@deos/protocol'
import type { StoredBlock } from './block-files.ts'

/** A block somewhere in the store. */
export interface StoreBlock extends ValuedBlock {
  readonly key: string
  /** Null while it is not in memory. */
  bytes: Uint8Array | null
  onDisk: boolean
  uses: number
  pins: number
}

export const newBlock = ({ key, sizeBytes, recomputeMs }: StoredBlock): StoreBlock => ({
  ...{ key, sizeBytes, recomputeMs, bytes: null, onDisk: false, uses: 1, pins: 0 },
  get isPinned() {
    return this.pins > 0
  },
})
