import { Bitmap } from './bitmap.ts'
import { KvSlice } from './kv-slice.ts'
import type { KvAddress, KvBlock, KvCommit, KvPlan, KvRoute } from './transfer-messages.ts'
import { KV_ID_BYTES, NO_LEVEL } from './transfer-messages.ts'

interface Writing {
  readonly peer: string
  readonly bytes: number
  readonly level: number
}

type Leveled = KvAddress & { readonly level: number }

/** What one stage has of one session's KV. */
export class IncomingTransfer {
  /** The coordinator's question that was not answered yet. */
  commit: KvCommit | null = null
  /** Senders that wait to hear what is here, by the number of their offer. */
  readonly offers = new Map<string, number>()
  lookedUp = false
  /** How far it reaches was said, and must not change under the decode side. */
  sealed = false
  /** The pages may not be written any more. */
  closed = false
  /** All that was wanted was promised: what comes from now on refines. */
  refining = false
  orphanedMs = Number.POSITIVE_INFINITY
  #receivedBytes = 0
  #refined = 0
  readonly #slice: KvSlice
  /** The level at which each block is stored; {@link NO_LEVEL} if it is not. */
  readonly #levels: Uint8Array
  /** Of one block several may be, each better than the ones before. */
  readonly #writing = new Map<number, Writing[]>()
  /** Up to where all was stored when that was asked last, at which levels: what is stored stays as good. */
  #reach: { readonly levels: readonly number[]; index: number } = { levels: [], index: 0 }

  /** @param former - the same session under an earlier plan: what it stored stays */
  constructor(
    readonly plan: KvPlan,
    readonly coordinator: string,
    former: IncomingTransfer | null,
  ) {
    this.#slice = new KvSlice(plan.shape, plan.layers)
    this.#levels = new Uint8Array(this.#slice.size).fill(NO_LEVEL)
    if (former !== null) this.#inherit(former)
    this.#receivedBytes = former?.receivedBytes ?? 0
  }

  /** Of blocks that were stored, as they travelled. */
  get receivedBytes(): number {
    return this.#receivedBytes
  }

  get pendingCount(): number {
    return this.#writing.size
  }

  route(peer: string): KvRoute | null {
    return this.plan.routes.find((candidate) => candidate.peer === peer) ?? null
  }

  found(blocks: readonly Leveled[]): void {
    this.lookedUp = true
    for (const block of blocks) this.#store(block)
  }

  /** Why this block cannot come from this peer, or `null`. */
  judge(peer: string, block: KvBlock): string | null {
    const route = this.route(peer)
    const where = `block ${block.block} of layer ${block.layer}`
    if (route === null || block.layer < route.layers.first || block.layer >= route.layers.end) {
      return `${where} was not asked of this peer`
    }
    if (this.#slice.index(block) < 0) return `${where} part ${block.part} does not exist in this session`
    const { maxBlockBytes } = this.plan
    if (block.bytes.length > maxBlockBytes) {
      return `${where} has ${block.bytes.length} bytes, more than ${maxBlockBytes}`
    }
    return block.level > this.#wanted(block.layer)
      ? `${where} came at level ${block.level}, too coarse`
      : null
  }

  /** Whether it is stored as good as this or better. */
  holds(block: Leveled): boolean {
    return this.#levels[this.#slice.index(block)]! <= block.level
  }

  /** Whether it is being written as good as this or better. */
  pending(block: Leveled): boolean {
    const writing = this.#writing.get(this.#slice.index(block))
    return writing?.some(({ level }) => level <= block.level) === true
  }

  writing(peer: string, block: KvBlock): void {
    const writing = { peer, bytes: block.bytes.length, level: block.level }
    const index = this.#slice.index(block)
    const others = this.#writing.get(index)
    if (others === undefined) this.#writing.set(index, [writing])
    else others.push(writing)
  }

  /** Whose write it was; `null` if nobody waited for it. */
  written(block: Leveled, stored: boolean): Writing | null {
    const index = this.#slice.index(block)
    const all = this.#writing.get(index) ?? []
    const at = all.findIndex(({ level }) => level === block.level)
    const [writing] = at < 0 ? [] : all.splice(at, 1)
    if (writing === undefined) return null
    if (all.length === 0) this.#writing.delete(index)
    if (stored) {
      this.#store(block)
      this.#receivedBytes += writing.bytes
    }
    return writing
  }

  /** Whether it is time to say what came so far: an eighth more of all blocks was refined. */
  reports(): boolean {
    if (!this.refining) return false
    this.#refined += 1
    return this.#refined % Math.max(1, this.#slice.size >> 3) === 0
  }

  /** What was still being written. */
  abandon(): readonly Writing[] {
    const writing = [...this.#writing.values()].flat()
    this.#writing.clear()
    return writing
  }

  /** What need not come over a route; where blocks are refined, then once more which are as fine as they shall be. */
  have(peer: string): Bitmap | null {
    const route = this.route(peer)
    if (route === null) return null
    const slice = new KvSlice(this.plan.shape, route.layers)
    const { enhanceTo } = this.plan
    const bitmap = new Bitmap(slice.size * (enhanceTo === null ? 1 : 2))
    for (let index = 0; index < slice.size; index++) {
      const address = slice.address(index)
      const level = this.#levels[this.#slice.index(address)]!
      if (level <= this.#wanted(address.layer)) bitmap.add(index)
      if (enhanceTo !== null && level <= enhanceTo) bitmap.add(slice.size + index)
    }
    return bitmap
  }

  /** Positions for which all layers are stored at these levels or better. */
  prefix(levels: readonly number[]): number {
    const { layers, shape } = this.plan
    if (this.#reach.levels !== levels) this.#reach = { levels, index: 0 }
    const reach = this.#reach
    for (; reach.index < this.#slice.size; reach.index++) {
      const { block, layer } = this.#slice.address(reach.index)
      if (this.#levels[reach.index]! > levels[layer - layers.first]!) return block * shape.blockTokens
    }
    return shape.length
  }

  /** Level of the coarsest block that is stored for positions below. */
  coarsest(position: number): number {
    let coarsest = 0
    for (let index = 0; index < this.#slice.size; index++) {
      const level = this.#levels[index]!
      if (this.#slice.address(index).block * this.plan.shape.blockTokens >= position) break
      if (level !== NO_LEVEL) coarsest = Math.max(coarsest, level)
    }
    return coarsest
  }

  #wanted(layer: number): number {
    return this.plan.levels[layer - this.plan.layers.first]!
  }

  #store(block: Leveled): void {
    const index = this.#slice.index(block)
    if (index >= 0) this.#levels[index] = Math.min(this.#levels[index]!, block.level)
  }

  #inherit(former: IncomingTransfer): void {
    const { shape } = this.plan
    const { shape: before } = former.plan
    if (shape.blockTokens !== before.blockTokens || shape.parts !== before.parts) return
    for (let index = 0; index < this.#slice.size; index++) {
      const address = this.#slice.address(index)
      const old = former.#slice.index(address)
      if (old < 0 || !this.#sameContent(former, address.block)) continue
      this.#levels[index] = former.#levels[old]!
      const writing = former.#writing.get(old)
      if (writing === undefined) continue
      this.#writing.set(index, writing)
      former.#writing.delete(old)
    }
  }

  #sameContent(former: IncomingTransfer, block: number): boolean {
    const at = block * KV_ID_BYTES
    for (let byte = at; byte < at + KV_ID_BYTES; byte++) {
      if (this.plan.ids[byte] !== former.plan.ids[byte]) return false
    }
    return true
  }
}
