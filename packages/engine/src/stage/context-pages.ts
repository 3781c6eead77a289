import type { CellRun, PageTable } from './page-table.ts'

/** What attention is planned by: where positions lie that are stored here. */
export type PlannedPages = Pick<PageTable, 'length' | 'runs' | 'cells'>

/**
 * The pages of a pool that one of several ranks stores: page `p` lies on rank `p mod ranks`. Which positions a sequence
 * has, and in which pages, all know.
 */
export class ContextPages implements PlannedPages {
  /** One page more than the share: what nobody looks for is stored there. */
  readonly cells: number

  constructor(
    private readonly table: PageTable,
    private readonly index: number,
    private readonly ranks: number,
  ) {
    this.cells = (Math.ceil(table.pageCount / ranks) + 1) * table.pageTokens
  }

  /** A cell that belongs to no page. */
  get spareCell(): number {
    return this.cells - 1
  }

  length(sequence: number): number {
    return this.table.length(sequence)
  }

  /** Index of the rank that stores the position. */
  owner(sequence: number, position: number): number {
    return this.page(sequence, position) % this.ranks
  }

  /** Cell of a position that is stored here. */
  cell(sequence: number, position: number): number {
    const { pageTokens } = this.table
    return this.firstCell(this.page(sequence, position)) + (position % pageTokens)
  }

  /** Those of positions `[first, end)` that are stored here, in order of position. */
  runs(sequence: number, first: number, end: number): readonly CellRun[] {
    const { pageTokens } = this.table
    return this.table.pages(sequence).flatMap((page, index) => {
      const from = Math.max(first, index * pageTokens)
      const to = Math.min(end, (index + 1) * pageTokens)
      if (page % this.ranks !== this.index || from >= to) return []
      return [{ cell: this.firstCell(page) + (from % pageTokens), position: from, length: to - from }]
    })
  }

  private page(sequence: number, position: number): number {
    return this.table.pages(sequence)[Math.floor(position / this.table.pageTokens)]!
  }

  private firstCell(page: number): number {
    return Math.floor(page / this.ranks) * this.table.pageTokens
  }
}
