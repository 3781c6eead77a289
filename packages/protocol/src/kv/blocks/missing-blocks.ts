import { type KvCoding, kvBlockKey } from './block-identity.ts'
import { blockCount, blockPlace, type KvBlockGrid } from './block-order.ts'
import { KvBlockSet } from './block-set.ts'

/** The blocks of a prompt in codings that will do. */
export interface WantedBlocks {
  readonly grid: KvBlockGrid
  /** Of each run of positions, from {@link kvRunIds}. */
  readonly runs: readonly Uint8Array[]
  /** Of which any will do; the best first. */
  readonly codings: readonly KvCoding[]
}

/** Keys of every block in the order of its grid: one for each of the codings. */
export function* blockKeys({ grid, runs, codings }: WantedBlocks): Iterable<readonly string[]> {
  for (let index = 0; index < blockCount(grid); index += 1) {
    const { block, ...place } = blockPlace(grid, index)
    const run = runs[block]
    if (run === undefined) throw new RangeError(`There is no id of block ${block} among ${runs.length}.`)
    yield codings.map((coding) => kvBlockKey({ ...place, ...coding, run }))
  }
}

/** The blocks that have to travel. @param has - whether an inventory holds the block of a key */
export function missingBlocks(wanted: WantedBlocks, has: (key: string) => boolean): KvBlockSet {
  const missing = new KvBlockSet(blockCount(wanted.grid))
  let index = 0
  for (const keys of blockKeys(wanted)) {
    if (!keys.some(has)) missing.add(index)
    index += 1
  }
  return missing
}
