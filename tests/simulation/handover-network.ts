import type { Random } from '@deos/domain'
import type { KvMessage } from '@deos/protocol'

/** Virtual time: what happens next, in order of time and then of asking. */
export class EventQueue {
  nowMs = 0
  #count = 0
  readonly #heap: { readonly atMs: number; readonly order: number; readonly run: () => void }[] = []

  after(delayMs: number, run: () => void): void {
    const heap = this.#heap
    const item = { atMs: this.nowMs + delayMs, order: this.#count++, run }
    let at = heap.push(item) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!earlier(item, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = item
  }

  /** Runs what is next; `false` if there is nothing. */
  step(): boolean {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined) return false
    if (heap.length > 0) {
      let at = 0
      for (;;) {
        let child = 2 * at + 1
        if (child >= heap.length) break
        if (child + 1 < heap.length && earlier(heap[child + 1]!, heap[child]!)) child += 1
        if (!earlier(heap[child]!, last)) break
        heap[at] = heap[child]!
        at = child
      }
      heap[at] = last
    }
    this.nowMs = first.atMs
    first.run()
    return true
  }
}

const earlier = (a: { atMs: number; order: number }, b: { atMs: number; order: number }): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

export interface ConnectionEvents {
  linked(at: string, peer: string): void
  unlinked(at: string, peer: string): void
  deliver(from: string, to: string, message: KvMessage): void
  /** Both ends know that it is gone. */
  lost(): void
}

export interface Connection {
  readonly a: string
  readonly b: string
  kill(): void
}

interface Open extends Connection {
  readonly id: number
  /** When each direction is free for the next message. */
  readonly freeMs: Map<string, number>
  readonly latencyMs: number
  readonly bytesPerMs: number
  readonly events: ConnectionEvents
}

/** Links that carry one message after another in each direction; a killed one loses what has not arrived. */
export class SerialNetwork {
  readonly #open = new Map<string, Open>()
  #ids = 0

  constructor(
    private readonly queue: EventQueue,
    private readonly random: Random,
  ) {}

  get connections(): readonly Connection[] {
    return [...this.#open.values()]
  }

  connect(a: string, b: string, events: ConnectionEvents): void {
    const key = keyOf(a, b)
    if (this.#open.has(key)) return
    const id = this.#ids++
    const connection: Open = {
      ...{ a, b, id, events, freeMs: new Map() },
      latencyMs: this.random.next() * 8,
      bytesPerMs: 10 + this.random.next() * 200,
      kill: () => {
        if (this.#open.get(key)?.id !== id) return
        this.#open.delete(key)
        // The ends notice one after the other.
        this.queue.after(this.random.next() * 3, () => events.unlinked(a, b))
        this.queue.after(this.random.next() * 3, () => events.unlinked(b, a))
        this.queue.after(4, () => events.lost())
      },
    }
    this.#open.set(key, connection)
    events.linked(a, b)
    events.linked(b, a)
  }

  send(from: string, to: string, message: KvMessage): void {
    const link = this.#open.get(keyOf(from, to))
    if (link === undefined) return
    const size = 40 + (message.type === 'kv-block' ? message.bytes.length : 0)
    const now = this.queue.nowMs
    const gone = Math.max(now, link.freeMs.get(from) ?? 0) + size / link.bytesPerMs
    link.freeMs.set(from, gone)
    this.queue.after(gone + link.latencyMs - now, () => {
      if (this.#open.get(keyOf(from, to))?.id === link.id) link.events.deliver(from, to, message)
    })
  }
}

const keyOf = (a: string, b: string): string => (a < b ? `${a}|${b}` : `${b}|${a}`)
