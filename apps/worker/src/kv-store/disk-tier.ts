import { BlockRanking } from '@deos/protocol'
import { BLOCK_HEADER_BYTES, type BlockFiles } from './block-files.ts'
import type { StoreBlock } from './store-block.ts'

const fileBytes = ({ sizeBytes }: StoreBlock): number => sizeBytes + BLOCK_HEADER_BYTES

/** Blocks on disk, and those that are being written. Files are touched one after another. */
export class DiskTier {
  readonly #ranking = new BlockRanking<StoreBlock>()
  readonly #spilling = new Map<StoreBlock, Uint8Array>()
  #work: Promise<void> = Promise.resolve()
  /** Of files, those to be removed included. */
  #usedBytes = 0
  /** What {@link #usedBytes} will be when all work is done. */
  #plannedBytes = 0
  #spillingBytes = 0
  #damaged = 0

  /** @param onGone - called when a block is not on disk any more */
  constructor(
    private readonly files: BlockFiles,
    private readonly limitBytes: number,
    private readonly spillLimitBytes: number,
    private readonly onGone: (block: StoreBlock) => void,
  ) {}

  get usedBytes(): number {
    return this.#usedBytes
  }

  get spillingBytes(): number {
    return this.#spillingBytes
  }

  get damaged(): number {
    return this.#damaged
  }

  /** Takes over a file that was there before; removes it if there is no room. */
  async adopt(block: StoreBlock): Promise<boolean> {
    if (this.#usedBytes + fileBytes(block) > this.limitBytes) {
      await this.files.remove(block.key)
      return false
    }
    this.#usedBytes += fileBytes(block)
    this.#plannedBytes += fileBytes(block)
    this.#settle(block)
    return true
  }

  /** What is being written of a block. */
  spilling(block: StoreBlock): Uint8Array | null {
    return this.#spilling.get(block) ?? null
  }

  /** @returns whether the block will be written, or is; not if too much is being written already, or others are worth more */
  write(block: StoreBlock, bytes: Uint8Array): boolean {
    if (this.#spilling.has(block)) return true
    if (this.#spillingBytes + bytes.byteLength > this.spillLimitBytes) return false
    const excess = this.#plannedBytes + fileBytes(block) - this.limitBytes
    if (fileBytes(block) > this.limitBytes) return false
    const given = excess > 0 ? this.#giveUp(excess, block) : []
    if (given === null) return false
    this.#plannedBytes += fileBytes(block)
    this.#spilling.set(block, bytes)
    this.#spillingBytes += bytes.byteLength
    this.#enqueue(() => this.#spill(block, bytes, given))
    return true
  }

  /** Null if it is not there or damaged; then it is removed. */
  async read(block: StoreBlock): Promise<Uint8Array | null> {
    const bytes = await this.files.read(block.key)
    if (bytes?.byteLength === block.sizeBytes) return bytes
    if (block.onDisk) {
      this.#damaged += 1
      this.#drop(block)
      this.#enqueue(() => this.#remove(block))
    }
    return null
  }

  rank(block: StoreBlock): void {
    if (block.onDisk) this.#ranking.rank(block)
  }

  async settled(): Promise<void> {
    for (let seen: Promise<void> | null = null; seen !== this.#work; ) {
      seen = this.#work
      await seen
    }
  }

  /** Forgets blocks at once; their files count until they are gone. */
  #giveUp(excess: number, inPlaceFor: StoreBlock): readonly StoreBlock[] | null {
    const given = this.#ranking.giveUp(excess, this.#ranking.worth(inPlaceFor))
    for (const block of given ?? []) this.#drop(block)
    return given
  }

  #drop(block: StoreBlock): void {
    this.#ranking.remove(block)
    this.#plannedBytes -= fileBytes(block)
    block.onDisk = false
    this.onGone(block)
  }

  async #spill(block: StoreBlock, bytes: Uint8Array, given: readonly StoreBlock[]): Promise<void> {
    for (const each of given) await this.#remove(each)
    let written = false
    if (this.#usedBytes + fileBytes(block) <= this.limitBytes) {
      this.#usedBytes += fileBytes(block)
      try {
        await this.files.write(block.key, bytes, block.recomputeMs)
        written = true
      } catch {
        this.#damaged += 1
        await this.#remove(block)
      }
    }
    this.#spilling.delete(block)
    this.#spillingBytes -= bytes.byteLength
    if (written) this.#settle(block)
    else {
      this.#plannedBytes -= fileBytes(block)
      this.onGone(block)
    }
  }

  async #remove(block: StoreBlock): Promise<void> {
    try {
      await this.files.remove(block.key)
    } catch {
      this.#damaged += 1
      this.#plannedBytes += fileBytes(block) // It keeps its place, and is found again on the next start.
      return
    }
    this.#usedBytes -= fileBytes(block)
  }

  #settle(block: StoreBlock): void {
    block.onDisk = true
    this.#ranking.rank(block)
  }

  #enqueue(work: () => Promise<void>): void {
    this.#work = this.#work.then(work)
  }
}
