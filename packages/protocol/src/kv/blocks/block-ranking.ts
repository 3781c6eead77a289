import { type Evictable, EvictionOrder } from '../../ring/memory/eviction-order.ts'

/** What is known of a block that could be given up. */
export interface ValuedBlock {
  /** Time that computing it again would take. */
  readonly recomputeMs: number
  readonly sizeBytes: number
  /** How often it was of use; grows. */
  readonly uses: number
  /** Not to be given up now. */
  readonly isPinned: boolean
}

interface Ranked<T> extends Evictable {
  readonly block: T
}

/**
 * Which block of a tier goes first: that of the least time saved per byte, where uses so far stand for those to come and
 * blocks that were not used for long fall behind those that come in.
 *
 * @see Cherkasova 1998, "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy" (HPL-98-69)
 */
export class BlockRanking<T extends ValuedBlock> {
  readonly #ranks = new Map<T, Ranked<T>>()
  readonly #order = new EvictionOrder<Ranked<T>>(
    (ranked) => this.#ranks.get(ranked.block) === ranked && !ranked.block.isPinned,
  )
  /** Worth of what went last: what comes in starts from there. */
  #age = 0
  #nextId = 0

  /** Adds a block, or values it anew after a use or when it may go again. */
  rank(block: T): void {
    const known = this.#ranks.get(block)
    // Of equals the last one goes first: blocks come in the order of positions, and the first are shared most.
    const ranked = known ?? { block, worth: 0, id: this.#nextId--, queuedWorth: Number.NaN }
    ranked.worth = this.worth(block)
    this.#ranks.set(block, ranked)
    if (!block.isPinned) this.#order.add(ranked)
  }

  remove(block: T): void {
    this.#ranks.delete(block)
  }

  worth({ recomputeMs, sizeBytes, uses }: ValuedBlock): number {
    return this.#age + (uses * recomputeMs) / sizeBytes
  }

  /**
   * Takes out the least worthy blocks, `bytes` of them.
   *
   * @param worth - of what would take their place; nothing worthier goes
   * @returns null, with nothing taken out, if that cannot be
   */
  giveUp(bytes: number, worth: number): readonly T[] | null {
    const given: Ranked<T>[] = []
    let freed = 0
    let last = this.#age
    while (freed < bytes) {
      const ranked = this.#order.next()
      if (ranked) given.push(ranked)
      if (ranked === null || ranked.worth > worth) {
        for (const each of given) this.#order.add(each)
        return null
      }
      freed += ranked.block.sizeBytes
      last = ranked.worth
    }
    this.#age = last
    for (const { block } of given) this.#ranks.delete(block)
    return given.map(({ block }) => block)
  }
}
