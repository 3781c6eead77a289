import { DomainError } from '@deos/domain'

export class OutOfPagesError extends DomainError {
  readonly code = 'OUT_OF_PAGES'
  readonly retriable = true
  constructor(
    readonly needed: number,
    readonly free: number,
  ) {
    super(
      `The KV cache needs ${needed} more pages and has ${free} free.`,
      'Wait for a session to end, or give the worker a larger KV budget.',
    )
  }
}

/** Consecutive cells that hold consecutive positions of one sequence. */
export interface CellRun {
  readonly cell: number
  readonly position: number
  readonly length: number
}

interface SequencePages {
  readonly pages: number[]
  length: number
}

/**
 * Which pages of the KV pool belong to which sequence. A page holds `pageTokens` cells; a cell holds K and V of one
 * position in every layer of the stage.
 *
 * Attention kernels read one strided range, so the pages of a sequence should be neighbours: a new sequence starts
 * in the middle of the largest gap and grows to the right. Scattered pages stay correct (the attention mask hides
 * foreign cells) and cost only speed.
 */
export class PageTable {
  private readonly owners: Int32Array
  private readonly sequences = new Map<number, SequencePages>()
  private free: number

  constructor(
    readonly pageCount: number,
    readonly pageTokens: number,
  ) {
    if (!Number.isInteger(pageCount) || pageCount < 1 || !Number.isInteger(pageTokens) || pageTokens < 1) {
      throw new RangeError(`A KV pool needs whole pages of whole tokens, got ${pageCount} × ${pageTokens}.`)
    }
    this.owners = new Int32Array(pageCount).fill(-1)
    this.free = pageCount
  }

  get freePages(): number {
    return this.free
  }

  get cells(): number {
    return this.pageCount * this.pageTokens
  }

  has(sequence: number): boolean {
    return this.sequences.has(sequence)
  }

  /** Positions stored for the sequence. */
  length(sequence: number): number {
    return this.get(sequence).length
  }

  /** Begins an empty sequence; it holds no page yet. */
  allocate(sequence: number): void {
    if (!Number.isInteger(sequence) || sequence < 0 || sequence > 0x7fff_ffff) {
      throw new RangeError(`A sequence number is a whole number below 2^31, got ${sequence}.`)
    }
    if (this.sequences.has(sequence)) throw new RangeError(`Sequence ${sequence} exists already.`)
    this.sequences.set(sequence, { pages: [], length: 0 })
  }

  /**
   * Makes room for `count` more positions.
   *
   * @throws OutOfPagesError if the pool is too full; nothing has changed then
   */
  append(sequence: number, count: number): void {
    const entry = this.get(sequence)
    const pages = Math.ceil((entry.length + count) / this.pageTokens)
    const missing = pages - entry.pages.length
    if (missing > this.free) throw new OutOfPagesError(missing, this.free)
    for (let index = 0; index < missing; index += 1) {
      const page = this.choosePage(entry.pages.at(-1))
      this.owners[page] = sequence
      entry.pages.push(page)
    }
    this.free -= Math.max(0, missing)
    entry.length += count
  }

  /** Forgets every position from `length` on and frees the pages that held only those. */
  truncate(sequence: number, length: number): void {
    const entry = this.get(sequence)
    if (!Number.isInteger(length) || length < 0 || length > entry.length) {
      throw new RangeError(
        `Sequence ${sequence} has ${entry.length} positions and cannot be cut to ${length}.`,
      )
    }
    for (const page of entry.pages.splice(Math.ceil(length / this.pageTokens))) {
      this.owners[page] = -1
      this.free += 1
    }
    entry.length = length
  }

  release(sequence: number): void {
    this.truncate(sequence, 0)
    this.sequences.delete(sequence)
  }

  clear(): void {
    for (const sequence of [...this.sequences.keys()]) this.release(sequence)
  }

  /** Cell of one stored position. */
  cell(sequence: number, position: number): number {
    const entry = this.get(sequence)
    if (position < 0 || position >= entry.length) {
      throw new RangeError(`Sequence ${sequence} has ${entry.length} positions, not position ${position}.`)
    }
    return (
      entry.pages[Math.floor(position / this.pageTokens)]! * this.pageTokens + (position % this.pageTokens)
    )
  }

  /** Cells of positions `[first, end)` as few runs as their pages allow, in order of position. */
  runs(sequence: number, first: number, end: number): readonly CellRun[] {
    const runs: { cell: number; position: number; length: number }[] = []
    let position = first
    while (position < end) {
      const cell = this.cell(sequence, position)
      const length = Math.min(this.pageTokens - (position % this.pageTokens), end - position)
      const last = runs.at(-1)
      if (last && last.cell + last.length === cell) last.length += length
      else runs.push({ cell, position, length })
      position += length
    }
    return runs
  }

  /**
   * Every page is free or held by exactly one sequence, and every sequence holds what its length needs.
   *
   * @throws Error naming the first page or sequence that breaks this: a bug
   */
  verify(): void {
    let held = 0
    for (const [sequence, { pages, length }] of this.sequences) {
      if (pages.length !== Math.ceil(length / this.pageTokens)) {
        throw new Error(`Sequence ${sequence} holds ${pages.length} pages for ${length} positions.`)
      }
      for (const page of pages) {
        if (this.owners[page] !== sequence) {
          throw new Error(`Page ${page} belongs to ${this.owners[page]}, not to sequence ${sequence}.`)
        }
      }
      held += pages.length
    }
    const free = this.owners.reduce((count, owner) => count + (owner === -1 ? 1 : 0), 0)
    if (free !== this.free || free + held !== this.pageCount) {
      throw new Error(`${free} free and ${held} held pages do not add up to ${this.pageCount}.`)
    }
  }

  private get(sequence: number): SequencePages {
    const entry = this.sequences.get(sequence)
    if (!entry) throw new RangeError(`There is no sequence ${sequence}.`)
    return entry
  }

  private choosePage(after: number | undefined): number {
    if (after === undefined) return this.startOfLargestGap()
    for (let step = 1; step <= this.pageCount; step += 1) {
      const page = (after + step) % this.pageCount
      if (this.owners[page] === -1) return page
    }
    throw new Error('No free page although the count says so.')
  }

  /** The middle of the largest gap, so that the sequence on its left may grow too; a gap at page 0 has none. */
  private startOfLargestGap(): number {
    let best = { start: 0, length: 0 }
    let start = 0
    for (let page = 0; page <= this.pageCount; page += 1) {
      if (page < this.pageCount && this.owners[page] === -1) continue
      if (page - start > best.length) best = { start, length: page - start }
      start = page + 1
    }
    if (best.start === 0) return 0
    return best.start + Math.floor(best.length / 2)
  }
}
