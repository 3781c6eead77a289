/** The cheapest way through all of a few places, from any to any (Held and Karp 1962), with its arrays kept. */
export class OpenPath {
  readonly #costs: Float64Array

  constructor(private readonly places: number) {
    this.#costs = new Float64Array(places << places)
  }

  /** @param between - symmetric costs, `from · places + to` */
  length(between: Float64Array): number {
    const { places } = this
    const all = (1 << places) - 1
    const costs = this.#costs
    for (let visited = 1; visited <= all; visited += 1) {
      for (let last = 0; last < places; last += 1) {
        if ((visited & (1 << last)) === 0) continue
        const before = visited & ~(1 << last)
        costs[visited * places + last] = before === 0 ? 0 : this.#cheapestInto(between, before, last)
      }
    }
    let best = Number.POSITIVE_INFINITY
    for (let last = 0; last < places; last += 1) best = Math.min(best, costs[all * places + last]!)
    return best
  }

  /** The places in order. */
  path(between: Float64Array): readonly number[] {
    const { places } = this
    const total = this.length(between)
    let visited = (1 << places) - 1
    let last = this.#costs.subarray(visited * places, (visited + 1) * places).indexOf(total)
    const order = [last]
    while (order.length < places) {
      const here = last
      visited &= ~(1 << here)
      const target = this.#cheapestInto(between, visited, here)
      last = order.length
      for (let from = 0; from < places; from += 1) {
        const reached = (visited & (1 << from)) !== 0
        if (reached && this.#costs[visited * places + from]! + between[from * places + here]! === target) {
          last = from
          break
        }
      }
      order.push(last)
    }
    return order.reverse()
  }

  #cheapestInto(between: Float64Array, visited: number, last: number): number {
    const { places } = this
    let best = Number.POSITIVE_INFINITY
    for (let from = 0; from < places; from += 1) {
      if ((visited & (1 << from)) === 0) continue
      const cost = this.#costs[visited * places + from]! + between[from * places + last]!
      if (cost < best) best = cost
    }
    return best
  }
}
