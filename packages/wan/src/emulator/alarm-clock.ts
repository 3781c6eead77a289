import { Worker } from 'node:worker_threads'

/**
 * Node's timers count in whole milliseconds and come late. A thread that sleeps on a futex until the next deadline and
 * then posts a message is late by 0.1 to 0.2 ms, rather evenly, and takes no CPU while it sleeps.
 */
const sleeper = `
const { parentPort, workerData } = require('node:worker_threads')
const changes = new Int32Array(workerData, 0, 2)
const deadline = new BigInt64Array(workerData, 8, 1)
let told = -1
for (;;) {
  const seen = Atomics.load(changes, 0)
  if (Atomics.load(changes, 1) === 1) break
  if (told === seen) { Atomics.wait(changes, 0, seen); continue }
  const leftMs = Number(Atomics.load(deadline, 0) - process.hrtime.bigint()) / 1e6
  if (leftMs > 0) { Atomics.wait(changes, 0, seen, leftMs); continue }
  told = seen
  parentPort.postMessage(null)
}
`

/** What an alarm is for; `ring` is called once for each time that was asked for last. */
export interface Alarm {
  /** Kept by the clock: when it rings, or `Infinity`. */
  ringsAtMs: number
  /** @param nowMs - at least what was asked for */
  ring(nowMs: number): void
}

/** Alarms that are this close ring at once. */
const EARLY_MS = 0.1
/** By how much each ring moves what the thread's lateness is taken to be: up if it was late, down if it was early. */
const LEARNING_MS = 0.005
const LONGEST_LEAD_MS = 0.5
const NEVER = Number.POSITIVE_INFINITY

/** Alarms on a monotonic clock, exact to a fraction of a millisecond. */
export class AlarmClock {
  readonly #shared = new SharedArrayBuffer(16)
  readonly #changes = new Int32Array(this.#shared, 0, 2)
  readonly #deadline = new BigInt64Array(this.#shared, 8, 1)
  readonly #zero = process.hrtime.bigint()
  readonly #thread: Worker
  readonly #heap = new AlarmHeap()
  #setForMs = NEVER
  /** How much sooner than wanted the thread is told to wake: the median of its lateness. */
  #leadMs = 0.1

  constructor() {
    this.#thread = new Worker(sleeper, { eval: true, workerData: this.#shared })
    this.#thread.on('message', () => this.#ring())
  }

  /** Milliseconds since the clock was made. */
  now(): number {
    return Number(process.hrtime.bigint() - this.#zero) / 1e6
  }

  /** Sets, moves or, with `Infinity`, stops an alarm. */
  set(alarm: Alarm, atMs: number): void {
    if (alarm.ringsAtMs === atMs) return
    alarm.ringsAtMs = atMs
    if (atMs === NEVER) return
    this.#heap.push(atMs, alarm)
    if (atMs < this.#setForMs) this.#wakeAt(atMs)
  }

  async stop(): Promise<void> {
    Atomics.store(this.#changes, 1, 1)
    this.#signal()
    await this.#thread.terminate()
  }

  #ring(): void {
    const now = this.now()
    const learnt = this.#leadMs + (now > this.#setForMs ? LEARNING_MS : -LEARNING_MS)
    this.#leadMs = Math.min(LONGEST_LEAD_MS, Math.max(0, learnt))
    this.#setForMs = NEVER
    const due = now + EARLY_MS
    for (;;) {
      const first = this.#heap.first
      if (first === undefined) return
      if (first.atMs > due) break
      this.#heap.pop()
      // One that was moved is further down as well.
      if (first.alarm.ringsAtMs !== first.atMs) continue
      first.alarm.ringsAtMs = NEVER
      first.alarm.ring(due)
    }
    const next = this.#heap.first
    if (next !== undefined && next.atMs < this.#setForMs) this.#wakeAt(next.atMs)
  }

  #wakeAt(atMs: number): void {
    this.#setForMs = atMs
    Atomics.store(this.#deadline, 0, this.#zero + BigInt(Math.round((atMs - this.#leadMs) * 1e6)))
    this.#signal()
  }

  #signal(): void {
    Atomics.add(this.#changes, 0, 1)
    Atomics.notify(this.#changes, 0)
  }
}

interface Entry {
  readonly atMs: number
  readonly alarm: Alarm
}

/** A binary heap, earliest first. */
class AlarmHeap {
  readonly #entries: Entry[] = []

  get first(): Entry | undefined {
    return this.#entries[0]
  }

  push(atMs: number, alarm: Alarm): void {
    const entries = this.#entries
    let index = entries.length
    const entry = { atMs, alarm }
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (entries[parent]!.atMs <= atMs) break
      entries[index] = entries[parent]!
      index = parent
    }
    entries[index] = entry
  }

  pop(): void {
    const entries = this.#entries
    const last = entries.pop()
    if (last === undefined || entries.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= entries.length) break
      if (child + 1 < entries.length && entries[child + 1]!.atMs < entries[child]!.atMs) child += 1
      if (entries[child]!.atMs >= last.atMs) break
      entries[index] = entries[child]!
      index = child
    }
    entries[index] = last
  }
}
