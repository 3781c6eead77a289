/** Numbers by time, earliest first; equal times come out in the order in which they went in. */
export class EventQueue {
  readonly #times: number[] = []
  readonly #ranks: number[] = []
  readonly #events: number[] = []
  #added = 0

  get size(): number {
    return this.#times.length
  }

  get nextS(): number {
    return this.#times[0]!
  }

  push(timeS: number, event: number): void {
    let at = this.#times.length
    this.#times.push(timeS)
    this.#ranks.push(this.#added)
    this.#events.push(event)
    this.#added += 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#before(at, parent)) return
      this.#exchange(at, parent)
      at = parent
    }
  }

  pop(): number {
    const event = this.#events[0]!
    this.#exchange(0, this.size - 1)
    this.#times.pop()
    this.#ranks.pop()
    this.#events.pop()
    for (let at = 0; ; ) {
      let least = at
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.size && this.#before(child, least)) least = child
      }
      if (least === at) return event
      this.#exchange(at, least)
      at = least
    }
  }

  #before(a: number, b: number): boolean {
    const difference = this.#times[a]! - this.#times[b]!
    return difference < 0 || (difference === 0 && this.#ranks[a]! < this.#ranks[b]!)
  }

  #exchange(a: number, b: number): void {
    for (const array of [this.#times, this.#ranks, this.#events]) {
      const kept = array[a]!
      array[a] = array[b]!
      array[b] = kept
    }
  }
}
