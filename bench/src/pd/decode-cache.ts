import { BlockRanking, type ValuedBlock } from '@deos/protocol'

interface Kept extends ValuedBlock {
  readonly id: number
  uses: number
}

/** What the decode side keeps of blocks, by the value that the workers' store goes by. */
export class DecodeCache {
  readonly #kept = new Map<number, Kept>()
  readonly #ranking = new BlockRanking<Kept>()
  #bytes = 0
  evicted = 0

  constructor(private readonly sizeBytes: number) {}

  has(id: number): boolean {
    return this.#kept.has(id)
  }

  use(id: number): void {
    const block = this.#kept.get(id)
    if (block === undefined) return
    block.uses += 1
    this.#ranking.rank(block)
  }

  put(id: number, sizeBytes: number, recomputeMs: number): void {
    if (this.#kept.has(id) || sizeBytes > this.sizeBytes) return
    const block: Kept = { id, sizeBytes, recomputeMs, uses: 1, isPinned: false }
    const excess = this.#bytes + sizeBytes - this.sizeBytes
    const given = excess > 0 ? this.#ranking.giveUp(excess, this.#ranking.worth(block)) : []
    if (given === null) return
    for (const each of given) {
      this.#kept.delete(each.id)
      this.#bytes -= each.sizeBytes
      this.evicted += 1
    }
    this.#kept.set(id, block)
    this.#bytes += sizeBytes
    this.#ranking.rank(block)
  }
}
