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

/** Neighbouring pages of a sequence: its pages `[index, index + count)` are `page`, `page + 1`, … */
interface PageRun {
  readonly index: number
  readonly page: number
  count: number
}

interface SequencePages {
  readonly pages: number[]
  /** The same pages, for those who walk over all of them. */
  readonly runs: PageRun[]
  length: number
}

/**
 * Which pages of the KV pool hold which sequence. A page holds `pageTokens` cells; a cell holds K and V of one
 * position in every layer of the stage. Which page goes to whom is decided elsewhere, for all stages of a ring alike.
 *
 * Sequences may share pages that are full, which is how they share a prefix. Nobody writes to a shared page.
 */
export class PageTable {
  /** How many sequences hold each page. */
  private readonly holders: Int32Array
  private readonly sequences = new Map<number, SequencePages>()
  private free: number

  constructor(
    readonly pageCount: number,
    readonly pageTokens: number,
  ) {
    if (!Number.isInteger(pageCount) || pageCount < 1 || !Number.isInteger(pageTokens) || pageTokens < 1) {
      throw new RangeError(`A KV pool needs whole pages of whole tokens, got ${pageCount} × ${pageTokens}.`)
    }
    this.holders = new Int32Array(pageCount)
    this.free = pageCount
  }

  /** Pages that no sequence holds. */
  get freePages(): number {
    return this.free
  }

  get cells(): number {
    return this.pageCount * this.pageTokens
  }

  /** The sequences there are. */
  get all(): readonly number[] {
    return [...this.sequences.keys()]
  }

  has(sequence: number): boolean {
    return this.sequences.has(sequence)
  }

  /** Whether a sequence holds the page. */
  isHeld(page: number): boolean {
    return (this.holders[page] ?? 0) > 0
  }

  /** Positions stored for the sequence. */
  length(sequence: number): number {
    return this.get(sequence).length
  }

  /** Pages the sequence holds, in order of its positions. */
  pages(sequence: number): readonly number[] {
    return this.get(sequence).pages
  }

  /**
   * Begins a sequence that holds `pages`, of which the first `length` positions are filled already.
   *
   * @throws RangeError for a sequence that exists, a page that does not, or more positions than the pages hold
   */
  open(sequence: number, pages: readonly number[] = [], length = 0): void {
    if (!Number.isInteger(sequence) || sequence < 0 || sequence > 0x7fff_ffff) {
      throw new RangeError(`A sequence number is a whole number below 2^31, got ${sequence}.`)
    }
    if (this.sequences.has(sequence)) throw new RangeError(`Sequence ${sequence} exists already.`)
    if (!Number.isInteger(length) || length < 0 || length > pages.length * this.pageTokens) {
      throw new RangeError(
        `Sequence ${sequence} cannot begin with ${length} positions in ${pages.length} pages of ${this.pageTokens}.`,
      )
    }
    const entry = { pages: [], runs: [], length }
    this.hold(entry, pages)
    this.sequences.set(sequence, entry)
  }

  /**
   * Gives the sequence more pages, to be filled after those it has.
   *
   * @throws RangeError for a page that does not exist or that the sequence has
   */
  attach(sequence: number, pages: readonly number[]): void {
    const entry = this.get(sequence)
    this.hold(entry, pages)
  }

  /**
   * Makes room for `count` more positions.
   *
   * @throws OutOfPagesError if the sequence's pages do not hold them, RangeError if another sequence holds a page that
   *   they would be written to; nothing has changed then
   */
  append(sequence: number, count: number): void {
    const entry = this.get(sequence)
    const end = entry.length + count
    const needed = Math.ceil(end / this.pageTokens)
    if (needed > entry.pages.length) throw new OutOfPagesError(needed - entry.pages.length, this.free)
    for (let index = Math.floor(entry.length / this.pageTokens); index < needed; index += 1) {
      const page = entry.pages[index]!
      if (this.holders[page] !== 1) {
        throw new RangeError(`Sequence ${sequence} would write to page ${page}, which it shares.`)
      }
    }
    entry.length = end
  }

  /** Forgets every position from `length` on; the pages stay with the sequence. */
  truncate(sequence: number, length: number): void {
    const entry = this.get(sequence)
    if (!Number.isInteger(length) || length < 0 || length > entry.length) {
      throw new RangeError(
        `Sequence ${sequence} has ${entry.length} positions and cannot be cut to ${length}.`,
      )
    }
    entry.length = length
  }

  /** Takes the pages that hold no position from the sequence, and returns them. */
  trim(sequence: number): readonly number[] {
    const entry = this.get(sequence)
    const kept = Math.ceil(entry.length / this.pageTokens)
    const dropped = entry.pages.splice(kept)
    this.letGo(dropped)
    for (let last = entry.runs.at(-1); last && last.index + last.count > kept; last = entry.runs.at(-1)) {
      last.count = kept - last.index
      if (last.count > 0) break
      entry.runs.pop()
    }
    return dropped
  }

  release(sequence: number): void {
    this.letGo(this.get(sequence).pages)
    this.sequences.delete(sequence)
  }

  clear(): void {
    for (const sequence of this.all) this.release(sequence)
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
    const entry = this.get(sequence)
    if (first < 0 || end > entry.length) {
      throw new RangeError(
        `Sequence ${sequence} has ${entry.length} positions, not positions [${first}, ${end}).`,
      )
    }
    const { pageTokens } = this
    const found: CellRun[] = []
    for (const { index, page, count } of entry.runs) {
      const from = Math.max(first, index * pageTokens)
      const to = Math.min(end, (index + count) * pageTokens)
      if (from >= to) continue
      found.push({ cell: (page - index) * pageTokens + from, position: from, length: to - from })
    }
    return found
  }

  /**
   * Every page is held as often as counted, every sequence has pages for its positions, and what is shared is full.
   *
   * @throws Error naming the first page or sequence that breaks this: a bug
   */
  verify(): void {
    const holders = new Int32Array(this.pageCount)
    for (const { pages } of this.sequences.values()) for (const page of pages) holders[page]! += 1
    const miscounted = holders.findIndex((count, page) => count !== this.holders[page])
    if (miscounted !== -1) {
      const counted = this.holders[miscounted]
      throw new Error(`${holders[miscounted]} sequences hold page ${miscounted}, but ${counted} are counted.`)
    }
    const free = holders.reduce((count, held) => count + (held === 0 ? 1 : 0), 0)
    if (free !== this.free) throw new Error(`${free} pages are free, but ${this.free} are counted.`)
    for (const [sequence, { pages, length }] of this.sequences) {
      if (length > pages.length * this.pageTokens) {
        throw new Error(`Sequence ${sequence} has ${length} positions in ${pages.length} pages.`)
      }
      const open = pages.slice(Math.floor(length / this.pageTokens)).find((page) => holders[page]! > 1)
      if (open !== undefined) throw new Error(`Sequence ${sequence} shares page ${open}, which is not full.`)
    }
  }

  private get(sequence: number): SequencePages {
    const entry = this.sequences.get(sequence)
    if (!entry) throw new RangeError(`There is no sequence ${sequence}.`)
    return entry
  }

  /** All or nothing. */
  private hold(entry: SequencePages, pages: readonly number[]): void {
    const seen = new Set<number>()
    for (const page of pages) {
      if (!Number.isInteger(page) || page < 0 || page >= this.pageCount) {
        throw new RangeError(`There is no page ${page} in a KV pool of ${this.pageCount}.`)
      }
      if (seen.has(page) || (this.holders[page] !== 0 && entry.pages.includes(page))) {
        throw new RangeError(`Page ${page} appears twice in one sequence.`)
      }
      seen.add(page)
    }
    for (const page of pages) {
      if (this.holders[page] === 0) this.free -= 1
      this.holders[page]! += 1
      const last = entry.runs.at(-1)
      if (last && last.page + last.count === page) last.count += 1
      else entry.runs.push({ index: entry.pages.length, page, count: 1 })
      entry.pages.push(page)
    }
  }

  private letGo(pages: readonly number[]): void {
    for (const page of pages) {
      this.holders[page]! -= 1
      if (this.holders[page] === 0) this.free += 1
    }
  }
}
