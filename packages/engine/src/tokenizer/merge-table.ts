/** Which neighbouring tokens merge, in which order of preference, into what: a hash table in flat arrays. */
export class MergeTable {
  readonly #mask: number
  readonly #lefts: Int32Array
  readonly #rights: Int32Array
  readonly #ranks: Int32Array
  readonly #results: Int32Array

  /** @param count - how many merges will be added at most */
  constructor(count: number) {
    const slots = 2 ** Math.ceil(Math.log2(Math.max(2, count * 2)))
    this.#mask = slots - 1
    this.#lefts = new Int32Array(slots).fill(-1)
    this.#rights = new Int32Array(slots)
    this.#ranks = new Int32Array(slots)
    this.#results = new Int32Array(slots)
  }

  /** The first merge of a pair stands. */
  add(left: number, right: number, rank: number, result: number): void {
    const slot = this.#slotFor(left, right)
    if (this.#lefts[slot] !== -1) return
    this.#lefts[slot] = left
    this.#rights[slot] = right
    this.#ranks[slot] = rank
    this.#results[slot] = result
  }

  /** Handle of a pair's merge; −1 if the two do not merge. */
  find(left: number, right: number): number {
    const slot = this.#slotFor(left, right)
    return this.#lefts[slot] === -1 ? -1 : slot
  }

  rank(handle: number): number {
    return this.#ranks[handle]!
  }

  result(handle: number): number {
    return this.#results[handle]!
  }

  #slotFor(left: number, right: number): number {
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)
    hash ^= hash >>> 15
    let slot = hash & this.#mask
    while (this.#lefts[slot] !== -1 && (this.#lefts[slot] !== left || this.#rights[slot] !== right)) {
      slot = (slot + 1) & this.#mask
    }
    return slot
  }
}
