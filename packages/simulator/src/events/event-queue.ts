/** Children of a heap node: four keep the heap shallow and siblings in one cache line. */
const fanOut = 4

/**
 * What happens next, in order of time; what is due at one moment, in the order it was pushed. A kind and a subject are
 * small numbers whose meaning is the simulation's.
 */
export class EventQueue {
  /** Of the event taken last, in ms. */
  timeMs = 0
  kind = 0
  subject = 0
  private size = 0
  private pushed = 0
  private times = new Float64Array(1024)
  private orders = new Float64Array(1024)
  private kinds = new Uint8Array(1024)
  private subjects = new Int32Array(1024)

  get length(): number {
    return this.size
  }

  /** @throws RangeError if the time lies before the event taken last or is not a number */
  push(timeMs: number, kind: number, subject: number): void {
    if (!(timeMs >= this.timeMs)) throw new RangeError(`${timeMs} ms is before now, ${this.timeMs} ms.`)
    if (this.size === this.times.length) this.grow()
    const order = this.pushed
    this.pushed += 1
    const { times, orders, kinds, subjects } = this
    let at = this.size
    this.size += 1
    while (at > 0) {
      const parent = ((at - 1) / fanOut) | 0
      // The newcomer was pushed last, so at equal times it stays behind.
      if (times[parent]! <= timeMs) break
      times[at] = times[parent]!
      orders[at] = orders[parent]!
      kinds[at] = kinds[parent]!
      subjects[at] = subjects[parent]!
      at = parent
    }
    times[at] = timeMs
    orders[at] = order
    kinds[at] = kind
    subjects[at] = subject
  }

  /** Takes the next event into the fields; false if there is none. */
  take(): boolean {
    if (this.size === 0) return false
    const { times, orders, kinds, subjects } = this
    this.timeMs = times[0]!
    this.kind = kinds[0]!
    this.subject = subjects[0]!
    this.size -= 1
    const { size } = this
    const time = times[size]!
    const order = orders[size]!
    let at = 0
    for (;;) {
      const first = at * fanOut + 1
      if (first >= size) break
      const end = first + fanOut < size ? first + fanOut : size
      let least = first
      for (let child = first + 1; child < end; child += 1) {
        const earlier = times[child]! - times[least]!
        if (earlier < 0 || (earlier === 0 && orders[child]! < orders[least]!)) least = child
      }
      if (times[least]! > time || (times[least] === time && orders[least]! > order)) break
      times[at] = times[least]!
      orders[at] = orders[least]!
      kinds[at] = kinds[least]!
      subjects[at] = subjects[least]!
      at = least
    }
    times[at] = time
    orders[at] = order
    kinds[at] = kinds[size]!
    subjects[at] = subjects[size]!
    return true
  }

  private grow(): void {
    const size = this.times.length * 2
    const widen = <T extends Float64Array | Uint8Array | Int32Array>(old: T, wide: T) => {
      wide.set(old)
      return wide
    }
    this.times = widen(this.times, new Float64Array(size))
    this.orders = widen(this.orders, new Float64Array(size))
    this.kinds = widen(this.kinds, new Uint8Array(size))
    this.subjects = widen(this.subjects, new Int32Array(size))
  }
}
