import { type Milliseconds, ms } from '@deos/domain'
import type { Timers } from '../timers.ts'

interface Alarm {
  readonly timeMs: number
  readonly order: number
  readonly run: () => void
  cancelled: boolean
}

/** Time that passes only when told to. Equal times run in the order they were asked for. */
export class VirtualTimers implements Timers {
  #nowMs = 0
  #order = 0
  /** A binary heap, earliest first. */
  readonly #alarms: Alarm[] = []

  now(): Milliseconds {
    return ms(this.#nowMs)
  }

  after(delayMs: number, run: () => void): () => void {
    const alarm: Alarm = {
      timeMs: this.#nowMs + Math.max(0, delayMs),
      order: this.#order++,
      run,
      cancelled: false,
    }
    this.#push(alarm)
    return () => {
      alarm.cancelled = true
    }
  }

  /** Runs the next alarm and lets promises settle; false if there is none up to `untilMs`. */
  async advance(untilMs: number): Promise<boolean> {
    const alarm = this.#next(untilMs)
    if (alarm === null) {
      this.#nowMs = Math.max(this.#nowMs, untilMs)
      return false
    }
    this.#nowMs = alarm.timeMs
    alarm.run()
    await new Promise<void>((resolve) => setImmediate(resolve))
    return true
  }

  async runUntil(timeMs: number): Promise<void> {
    while (await this.advance(timeMs));
  }

  #next(untilMs: number): Alarm | null {
    for (;;) {
      const alarm = this.#alarms[0]
      if (alarm === undefined || alarm.timeMs > untilMs) return null
      this.#pop()
      if (!alarm.cancelled) return alarm
    }
  }

  #push(alarm: Alarm): void {
    const heap = this.#alarms
    let at = heap.length
    heap.push(alarm)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!earlier(alarm, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = alarm
  }

  #pop(): void {
    const heap = this.#alarms
    const last = heap.pop()!
    if (heap.length === 0) return
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
}

const earlier = (a: Alarm, b: Alarm): boolean =>
  a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.order < b.order)
