import { DomainError } from '@deos/domain'
import { BlockRanking } from '@deos/protocol'
import type { BlockFiles } from './block-files.ts'
import { DiskTier } from './disk-tier.ts'
import { newBlock, type StoreBlock } from './store-block.ts'

export interface KvBlockStoreOptions {
  /** All that the store holds in memory, blocks on their way to disk included. */
  readonly memoryBytes: number
  /** Null keeps blocks in memory only. */
  readonly disk: { readonly files: BlockFiles; readonly sizeBytes: number } | null
}

export class KvStoreError extends DomainError {
  readonly code = 'KV_STORE'
  readonly retriable = false
}

export interface KvStoreCounters {
  readonly memoryHits: number
  readonly diskHits: number
  readonly misses: number
  /** Blocks that are nowhere any more because others took their place. */
  readonly evicted: number
  /** Blocks that were not taken: all there was room for was worth more, or pinned. */
  readonly refused: number
  /** Blocks on disk that were not what was written, or could not be read or written. */
  readonly damaged: number
}

export interface KvStoreUsage {
  readonly memoryBytes: number
  readonly diskBytes: number
  readonly blocks: number
}

/** Share of the memory that blocks may take while they are written to disk. */
const SPILL_SHARE = 1 / 8

/**
 * Blocks of K and V of one machine by what they hold, in memory and, if there is one, on disk. What was computed or
 * came over a link is kept while the time it saves, per byte, is more than that of others.
 */
export class KvBlockStore {
  readonly #blocks = new Map<string, StoreBlock>()
  readonly #memory = new BlockRanking<StoreBlock>()
  readonly #disk: DiskTier | null
  readonly #memoryLimit: number
  #memoryBytes = 0
  readonly #counts = { memoryHits: 0, diskHits: 0, misses: 0, evicted: 0, refused: 0 }

  private constructor({ memoryBytes, disk }: KvBlockStoreOptions) {
    const spill = disk === null ? 0 : Math.floor(memoryBytes * SPILL_SHARE)
    this.#memoryLimit = memoryBytes - spill
    this.#disk =
      disk === null
        ? null
        : new DiskTier(disk.files, disk.sizeBytes, spill, (block) => {
            if (block.bytes === null) this.#forget(block)
          })
  }

  /**
   * Finds what is on disk already.
   *
   * @throws KvStoreError for budgets that are none
   */
  static async open(options: KvBlockStoreOptions): Promise<KvBlockStore> {
    for (const size of [options.memoryBytes, options.disk?.sizeBytes ?? 0]) {
      if (Number.isSafeInteger(size) && size >= 0) continue
      throw new KvStoreError(
        `A KV block store of ${size} bytes is not possible.`,
        'Give whole bytes from 0 on.',
      )
    }
    const store = new KvBlockStore(options)
    const blocks = ((await options.disk?.files.list()) ?? []).map(newBlock)
    const worth = ({ recomputeMs, sizeBytes }: StoreBlock) => recomputeMs / sizeBytes
    for (const block of blocks.sort((a, b) => worth(b) - worth(a))) {
      if (await store.#disk!.adopt(block)) store.#blocks.set(block.key, block)
    }
    return store
  }

  has(key: string): boolean {
    return this.#blocks.has(key)
  }

  /**
   * Keeps a copy of a block, if it is worth more than those it would displace.
   *
   * @param recomputeMs - measured time that computing it again would take
   * @returns whether the store has it now
   * @throws KvStoreError for an empty block or a time that is none
   */
  put(key: string, bytes: Uint8Array, recomputeMs: number): boolean {
    if (bytes.byteLength === 0 || !(recomputeMs >= 0 && Number.isFinite(recomputeMs))) {
      throw new KvStoreError(
        `A block of ${bytes.byteLength} bytes that took ${recomputeMs} ms cannot be kept.`,
        'Give bytes and the time that computing them took.',
      )
    }
    const known = this.#blocks.get(key)
    if (known?.bytes) return true
    const block = known ?? newBlock({ key, sizeBytes: bytes.byteLength, recomputeMs })
    // One on disk that has another size is damaged, which is found out when it is read.
    const taken = block.sizeBytes === bytes.byteLength && (this.#takeIn(block, bytes) || known !== undefined)
    if (!taken) this.#counts.refused += 1
    return taken
  }

  /** A copy of a block; null if the store does not have it, or no longer as it was written. */
  async get(key: string): Promise<Uint8Array | null> {
    const block = this.#blocks.get(key)
    if (block) {
      block.uses += 1
      const held = block.bytes ?? this.#disk?.spilling(block) ?? null
      if (held) {
        this.#counts.memoryHits += 1
        this.#rank(block)
        return new Uint8Array(held)
      }
      const read = await this.#disk!.read(block)
      if (read) {
        this.#counts.diskHits += 1
        this.#rank(block)
        if (block.bytes === null && this.#blocks.get(key) === block) this.#takeIn(block, read)
        return read
      }
    }
    this.#counts.misses += 1
    return null
  }

  /**
   * Keeps a block from being given up while it is on its way somewhere.
   *
   * @returns what ends that, once; null if the store does not have the block
   */
  pin(key: string): (() => void) | null {
    const block = this.#blocks.get(key)
    if (!block) return null
    block.pins += 1
    let held = true
    return () => {
      if (!held) return
      held = false
      block.pins -= 1
      this.#rank(block)
    }
  }

  get counters(): KvStoreCounters {
    return { ...this.#counts, damaged: this.#disk?.damaged ?? 0 }
  }

  get usage(): KvStoreUsage {
    return {
      memoryBytes: this.#memoryBytes + (this.#disk?.spillingBytes ?? 0),
      diskBytes: this.#disk?.usedBytes ?? 0,
      blocks: this.#blocks.size,
    }
  }

  /** Resolves when nothing is being written or removed any more. */
  async settled(): Promise<void> {
    await this.#disk?.settled()
  }

  /** Keeps a copy in memory if there is room, or can be. */
  #takeIn(block: StoreBlock, bytes: Uint8Array): boolean {
    const excess = this.#memoryBytes + bytes.byteLength - this.#memoryLimit
    if (bytes.byteLength > this.#memoryLimit) return false
    const given = excess > 0 ? this.#memory.giveUp(excess, this.#memory.worth(block)) : []
    if (given === null) return false
    for (const each of given) this.#moveOut(each)
    block.bytes = new Uint8Array(bytes) // a Buffer's slice() would not be a copy
    this.#memoryBytes += bytes.byteLength
    this.#blocks.set(block.key, block)
    this.#memory.rank(block)
    return true
  }

  /** To disk, if it is not there and there is time to write it. */
  #moveOut(block: StoreBlock): void {
    const bytes = block.bytes!
    block.bytes = null
    this.#memoryBytes -= bytes.byteLength
    if (block.onDisk || this.#disk?.write(block, bytes)) return
    this.#forget(block)
  }

  #forget(block: StoreBlock): void {
    if (this.#blocks.get(block.key) !== block) return
    this.#blocks.delete(block.key)
    this.#counts.evicted += 1
  }

  #rank(block: StoreBlock): void {
    if (block.bytes) this.#memory.rank(block)
    this.#disk?.rank(block)
  }
}
