/**
 * Pairs of two equally large sides whose worst pair is as good as can be. Costs are given as
 * whole numbers in their order, and tried by bisection, each time by augmenting paths.
 */
export class BottleneckMatching {
  readonly #partner: Int32Array
  readonly #seen: Int32Array
  #round = 0

  constructor(private readonly size: number) {
    this.#partner = new Int32Array(size)
    this.#seen = new Int32Array(size)
  }

  /** The worst pair's cost. @param costs - `left · size + right` */
  solve(costs: Int32Array): number {
    let low = 0
    let high = 0
    for (let left = 0; left < this.size; left += 1) {
      let cheapest = costs[left * this.size]!
      for (let right = 0; right < this.size; right += 1) {
        const cost = costs[left * this.size + right]!
        if (cost < cheapest) cheapest = cost
        if (cost > high) high = cost
      }
      if (cheapest > low) low = cheapest
    }
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#matches(costs, middle)) high = middle
      else low = middle + 1
    }
    return low
  }

  /** For each on the right, whom it is paired with on the left when no pair costs more than `limit`. */
  pairs(costs: Int32Array, limit: number): readonly number[] {
    if (!this.#matches(costs, limit)) throw new Error(`There is no matching within ${limit}.`)
    return [...this.#partner]
  }

  #matches(costs: Int32Array, limit: number): boolean {
    this.#partner.fill(-1)
    for (let left = 0; left < this.size; left += 1) {
      this.#round += 1
      if (!this.#augment(costs, limit, left)) return false
    }
    return true
  }

  #augment(costs: Int32Array, limit: number, left: number): boolean {
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
