/**
 * Pairs of two equally large sides whose worst pair is as good as can be. Costs are tried in order by bisection, each
 * time by augmenting paths.
 */
export class BottleneckMatching {
  readonly #sorted: Float64Array
  readonly #partner: Int32Array
  readonly #seen: Int32Array
  #round = 0

  constructor(private readonly size: number) {
    this.#sorted = new Float64Array(size * size)
    this.#partner = new Int32Array(size)
    this.#seen = new Int32Array(size)
  }

  /** The worst pair's cost. @param costs - `left · size + right` */
  solve(costs: Float64Array): number {
    this.#sorted.set(costs)
    this.#sorted.sort()
    let low = this.#leastPossible(costs)
    let high = this.#sorted.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#matches(costs, this.#sorted[middle]!)) high = middle
      else low = middle + 1
    }
    return this.#sorted[low]!
  }

  /** For each on the right, whom it is paired with on the left when no pair costs more than `limit`. */
  pairs(costs: Float64Array, limit: number): readonly number[] {
    if (!this.#matches(costs, limit)) throw new Error(`There is no matching within ${limit}.`)
    return [...this.#partner]
  }

  /** Index of the cheapest cost at which everyone has someone to be paired with. */
  #leastPossible(costs: Float64Array): number {
    let least = 0
    for (let left = 0; left < this.size; left += 1) {
      let cheapest = Number.POSITIVE_INFINITY
      for (let right = 0; right < this.size; right += 1) {
        cheapest = Math.min(cheapest, costs[left * this.size + right]!)
      }
      least = Math.max(least, cheapest)
    }
    return this.#sorted.indexOf(least)
  }

  #matches(costs: Float64Array, limit: number): boolean {
    this.#partner.fill(-1)
    for (let left = 0; left < this.size; left += 1) {
      this.#round += 1
      if (!this.#augment(costs, limit, left)) return false
    }
    return true
  }

  #augment(costs: Float64Array, limit: number, left: number): boolean {
    for (let right = 0; right < this.size; right += 1) {
      if (this.#seen[right] === this.#round || costs[left * this.size + right]! > limit) continue
      this.#seen[right] = this.#round
      const partner = this.#partner[right]!
      if (partner < 0 || this.#augment(costs, limit, partner)) {
        this.#partner[right] = left
        return true
      }
    }
    return false
  }
}
