import { Bitmap } from './bitmap.ts'
import { KvSlice } from './kv-slice.ts'
import type { KvHave, KvPlan, KvRoute, KvVerdict } from './transfer-messages.ts'

/** `base` is what the receiver needs to begin; `enhancement` makes better what it has. */
export type Pass = 'base' | 'enhancement'

export interface Candidate {
  readonly index: number
  readonly pass: Pass
  readonly level: number
}

interface Flight {
  /** While it is being encoded, what it may become at most. */
  bytes: number
  readonly pass: Pass
  readonly level: number
  encoding: boolean
}

/** What one receiver still needs of one session, and what is under way to it. */
export class OutgoingRoute {
  readonly peer: string
  readonly slice: KvSlice
  /** Counts what was offered; 0 before the first time. */
  offer = 0
  offeredMs = Number.NEGATIVE_INFINITY
  #have: Bitmap | null = null
  #better: Bitmap
  readonly #flights = new Map<number, Flight>()
  readonly #refusals = new Map<number, number>()
  #cursor = 0
  #betterCursor = 0

  constructor(
    private readonly plan: KvPlan,
    route: KvRoute,
  ) {
    this.peer = route.peer
    this.slice = new KvSlice(plan.shape, route.layers)
    this.#better = new Bitmap(this.slice.size)
  }

  get answered(): boolean {
    return this.#have !== null
  }

  get baseDone(): boolean {
    return this.#have?.full === true
  }

  get done(): boolean {
    const refined = this.plan.enhanceTo === null || this.#skipBetter() >= this.slice.size
    return this.baseDone && refined && this.#flights.size === 0
  }

  get bytesInFlight(): number {
    let bytes = 0
    for (const flight of this.#flights.values()) bytes += flight.bytes
    return bytes
  }

  /** Of those, bytes that only refine. */
  get refiningBytesInFlight(): number {
    let bytes = 0
    for (const { pass, bytes: own } of this.#flights.values()) if (pass === 'enhancement') bytes += own
    return bytes
  }

  /** The link is new: whatever was under way may or may not have arrived. */
  reset(): void {
    this.#have = null
    this.#flights.clear()
    this.#cursor = 0
    this.#betterCursor = 0
  }

  /** Returns whether it answers the last offer. */
  accept(have: KvHave): boolean {
    const { size } = this.slice
    const count = size * (this.plan.enhanceTo === null ? 1 : 2)
    if (have.offer !== this.offer || have.count !== count || this.#have !== null) return false
    const all = Bitmap.from(count, have.bits)
    this.#have = new Bitmap(size)
    for (let index = 0; index < size; index++) {
      if (all.has(index)) this.#have.add(index)
      if (count > size && all.has(size + index)) this.#better.add(index)
    }
    return true
  }

  /**
   * The block needed first of those that can be sent.
   *
   * @param ready - for each layer, positions whose KV is there
   * @param refines - whether what is there may be refined already
   */
  next(ready: ReadonlyMap<number, number>, refines: boolean): Candidate | null {
    const have = this.#have
    if (have === null) return null
    while (this.#cursor < have.size && have.has(this.#cursor)) this.#cursor += 1
    const base = this.#find(this.#cursor, ready, (index) => have.has(index))
    if (base >= 0) return { index: base, pass: 'base', level: this.#level(base) }
    if (!refines || !have.full || this.plan.enhanceTo === null) return null
    const index = this.#find(this.#skipBetter(), ready, (at) => this.#fine(at))
    return index < 0 ? null : { index, pass: 'enhancement', level: this.plan.enhanceTo }
  }

  begin({ index, pass, level }: Candidate, reservedBytes: number): void {
    this.#flights.set(index, { bytes: reservedBytes, pass, level, encoding: true })
  }

  /** The block asked for is encoded; `false` if nobody waits for it. */
  encoded(index: number, level: number, bytes: number): boolean {
    const flight = this.#flights.get(index)
    if (flight === undefined || !flight.encoding || flight.level !== level) return false
    flight.bytes = bytes
    flight.encoding = false
    return true
  }

  /** @returns how often this block was refused; 0 if it is stored or was not under way */
  settle(verdict: KvVerdict): number {
    const index = this.slice.index(verdict)
    const flight = this.#flights.get(index)
    if (flight === undefined || flight.encoding || flight.level !== verdict.level) return 0
    this.#flights.delete(index)
    if (verdict.stored) {
      if (flight.pass === 'base') this.#have?.add(index)
      else this.#better.add(index)
      return 0
    }
    const refusals = (this.#refusals.get(index) ?? 0) + 1
    this.#refusals.set(index, refusals)
    return refusals
  }

  #level(index: number): number {
    return this.plan.levels[this.slice.address(index).layer - this.plan.layers.first]!
  }

  #fine(index: number): boolean {
    return this.#better.has(index) || this.#level(index) <= (this.plan.enhanceTo ?? 0)
  }

  #skipBetter(): number {
    while (this.#betterCursor < this.slice.size && this.#fine(this.#betterCursor)) this.#betterCursor += 1
    return this.#betterCursor
  }

  #find(from: number, ready: ReadonlyMap<number, number>, skip: (index: number) => boolean): number {
    let mostReady = 0
    for (const end of ready.values()) mostReady = Math.max(mostReady, end)
    for (let index = from; index < this.slice.size; index++) {
      if (skip(index) || this.#flights.has(index)) continue
      const { block, layer } = this.slice.address(index)
      const end = this.slice.end(block)
      if ((ready.get(layer) ?? 0) >= end) return index
      if (mostReady < end) return -1
    }
    return -1
  }
}
