import { PagePool } from '@deos/domain'
import { OutOfPagesError, type PageTable } from './page-table.ts'

/**
 * Hands out pages to the sequences of some stages: what a ring's leader does, for those who drive stages themselves.
 * All the stages hold the same sequences in the same pages.
 */
export class PooledSequences {
  private readonly pool: PagePool
  private readonly first: PageTable

  /** @param tables - one for each stage, of equal size, and used by nobody else */
  constructor(private readonly tables: readonly PageTable[]) {
    const [first] = tables
    if (!first || tables.some(({ pageCount, pageTokens }) => !sameSize(first, pageCount, pageTokens))) {
      throw new RangeError('Pages are handed out to stages with pools of one size.')
    }
    this.first = first
    this.pool = new PagePool(first.pageCount)
  }

  get freePages(): number {
    return this.pool.free
  }

  /** Begins an empty sequence. */
  open(sequence: number): void {
    for (const table of this.tables) table.open(sequence)
  }

  /**
   * Begins a sequence with the first `length` positions of another, whose pages it shares.
   *
   * @throws RangeError if these do not fill whole pages, or are more than there are
   */
  fork(sequence: number, from: number, length: number): void {
    if (length > this.first.length(from) || length % this.first.pageTokens !== 0) {
      throw new RangeError(
        `${length} of ${this.first.length(from)} positions cannot be shared; pages hold ${this.first.pageTokens}.`,
      )
    }
    const pages = this.first.pages(from).slice(0, length / this.first.pageTokens)
    for (const table of this.tables) table.open(sequence, pages, length)
    this.pool.retain(pages)
  }

  /**
   * Sees to it that the sequence has pages for `count` more positions.
   *
   * @throws OutOfPagesError if the pool is too full; nothing has changed then
   */
  extend(sequence: number, count: number): void {
    const held = this.first.pages(sequence)
    const missing = Math.ceil((this.first.length(sequence) + count) / this.first.pageTokens) - held.length
    if (missing <= 0) return
    const pages = this.pool.take(missing, held.at(-1))
    if (!pages) throw new OutOfPagesError(missing, this.pool.free)
    for (const table of this.tables) table.attach(sequence, pages)
  }

  /** Forgets every position from `length` on and frees the pages that held only those. */
  truncate(sequence: number, length: number): void {
    let dropped: readonly number[] = []
    for (const table of this.tables) {
      table.truncate(sequence, length)
      dropped = table.trim(sequence)
    }
    this.pool.release(dropped)
  }

  release(sequence: number): void {
    this.pool.release(this.first.pages(sequence))
    for (const table of this.tables) table.release(sequence)
  }

  clear(): void {
    for (const sequence of this.first.all) this.release(sequence)
  }
}

const sameSize = (table: PageTable, pageCount: number, pageTokens: number): boolean =>
  table.pageCount === pageCount && table.pageTokens === pageTokens
