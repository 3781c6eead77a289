/** Something kept that could be given up. */
export interface Evictable {
  /** What keeping it is worth; least goes first. */
  worth: number
  /** Distinguishes equals, so that the order is always the same. */
  readonly id: number
  /** The worth it is queued with; NaN when it is not. */
  queuedWorth: number
}

interface Entry<T> {
  readonly item: T
  readonly worth: number
}

/**
 * Binary heap by worth. What changed its worth or may not go any more is not searched for but skipped when it comes
 * up, and swept out when such entries outnumber the others.
 */
export class EvictionOrder<T extends Evictable> {
  #heap: Entry<T>[] = []
  #queued = 0

  /** @param evictable - whether an item that comes up may go now; if not, it is to be added again when it may */
  constructor(private readonly evictable: (item: T) => boolean) {}

  add(item: T): void {
    if (item.queuedWorth === item.worth) return
    if (Number.isNaN(item.queuedWorth)) this.#queued += 1
    item.queuedWorth = item.worth
    this.#heap.push({ item, worth: item.worth })
    this.#rise(this.#heap.length - 1)
    if (this.#heap.length > 2 * this.#queued + 64) this.#sweep()
  }

  /** Takes out the item of least worth that may go. */
  next(): T | null {
    for (;;) {
      const head = this.#heap[0]
      if (head === undefined) return null
      const last = this.#heap.pop()!
      if (this.#heap.length > 0) {
        this.#heap[0] = last
        this.#sink(0)
      }
      const { item, worth } = head
      if (worth !== item.queuedWorth) continue
      item.queuedWorth = Number.NaN
      this.#queued -= 1
      if (!this.evictable(item)) continue
      if (worth === item.worth) return item
      this.add(item)
    }
  }

  #sweep(): void {
    this.#heap = this.#heap.filter(({ item, worth }) => worth === item.queuedWorth)
    for (let index = this.#heap.length >> 1; index >= 0; index--) this.#sink(index)
  }

  #rise(start: number): void {
    const heap = this.#heap
    for (let index = start; index > 0; ) {
      const parent = (index - 1) >> 1
      if (!before(heap[index]!, heap[parent]!)) return
      swap(heap, index, parent)
      index = parent
    }
  }

  #sink(start: number): void {
    const heap = this.#heap
    for (let index = start; ; ) {
      let least = index
      for (const child of [2 * index + 1, 2 * index + 2]) {
        if (child < heap.length && before(heap[child]!, heap[least]!)) least = child
      }
      if (least === index) return
      swap(heap, index, least)
      index = least
    }
  }
}

const before = <T extends Evictable>(a: Entry<T>, b: Entry<T>): boolean =>
  a.worth < b.worth || (a.worth === b.worth && a.item.id < b.item.id)

function swap<T>(heap: T[], a: number, b: number): void {
  const held = heap[a]!
  heap[a] = heap[b]!
  heap[b] = held
}
