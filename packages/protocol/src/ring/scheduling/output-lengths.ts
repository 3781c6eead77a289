/** Newest completions that are looked at. */
const WINDOW = 128
/** A tenant with fewer completions is taken to be like all others. */
const ENOUGH = 8
const MAX_TENANTS = 256

/** Lengths of the newest outputs, and what they say about those still growing. */
class LengthSample {
  readonly #recent: number[] = []
  #oldest = 0
  #sorted: readonly number[] | null = null
  /** Sum of the sorted lengths from each index on. */
  #sums: readonly number[] = []

  get count(): number {
    return this.#recent.length
  }

  record(length: number): void {
    if (this.#recent.length < WINDOW) this.#recent.push(length)
    else {
      this.#recent[this.#oldest] = length
      this.#oldest = (this.#oldest + 1) % WINDOW
    }
    this.#sorted = null
  }

  /** Mean of what outputs longer than `length` had to go, and of one more that has `limit` to go. */
  remaining(length: number, limit: number): number {
    const sorted = this.#sorted ?? this.#sort()
    let from = 0
    for (let end = sorted.length; from < end; ) {
      const middle = (from + end) >> 1
      if (sorted[middle]! > length) end = middle
      else from = middle + 1
    }
    const longer = sorted.length - from
    return (this.#sums[from]! - longer * length + limit) / (longer + 1)
  }

  #sort(): readonly number[] {
    const sorted = [...this.#recent].sort((a, b) => a - b)
    const sums = new Array<number>(sorted.length + 1).fill(0)
    for (let index = sorted.length - 1; index >= 0; index--) sums[index] = sums[index + 1]! + sorted[index]!
    this.#sorted = sorted
    this.#sums = sums
    return sorted
  }
}

/**
 * Predicts how many tokens a session will still generate, from how long the outputs of its tenant were: those that
 * were longer than it is now. One output that goes to the limit is imagined beside them, so that without any
 * experience the limit is expected.
 */
export class OutputLengths {
  readonly #all = new LengthSample()
  readonly #tenants = new Map<string, LengthSample>()

  record(tenant: string, generated: number): void {
    this.#all.record(generated)
    const sample = this.#tenants.get(tenant) ?? new LengthSample()
    sample.record(generated)
    // The tenant that completed nothing for longest is the first of the map.
    this.#tenants.delete(tenant)
    this.#tenants.set(tenant, sample)
    if (this.#tenants.size > MAX_TENANTS) this.#tenants.delete(this.#tenants.keys().next().value!)
  }

  /** Whole tokens to expect after `generated` ones, between 1 and what `maxTokens` leaves. */
  expectRemaining(tenant: string, generated: number, maxTokens: number): number {
    const limit = maxTokens - generated
    const own = this.#tenants.get(tenant)
    const sample = own !== undefined && own.count >= ENOUGH ? own : this.#all
    return Math.min(limit, Math.max(1, Math.ceil(sample.remaining(generated, limit))))
  }
}
