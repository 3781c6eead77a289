/**
 * Which pages of a KV pool are in use, and by how many holders: sequences, and a cache of prefixes.
 *
 * Attention kernels read one strided range, so the pages of a sequence should be neighbours: a new sequence starts
 * in the middle of the largest gap, as far as what it takes at once fits behind, and grows to the right; where that is
 * taken it gets the nearest free page, as does what goes on from shared pages. Scattered pages stay correct and cost
 * only speed.
 */
export class PagePool {
  private readonly holders: Int32Array
  private unheld: number

  constructor(readonly pageCount: number) {
    if (!Number.isInteger(pageCount) || pageCount < 1) {
      throw new RangeError(`A page pool has a whole number of pages from 1 on, got ${pageCount}.`)
    }
    this.holders = new Int32Array(pageCount)
    this.unheld = pageCount
  }

  /** Pages that nobody holds. */
  get free(): number {
    return this.unheld
  }

  /** How many hold the page. */
  references(page: number): number {
    return this.holders[this.checked(page)]!
  }

  /**
   * Free pages in the order they should be filled, held once from now on.
   *
   * @param after - last page of the sequence that grows or forks; without it a new sequence begins
   * @returns null, with nothing taken, when fewer are free
   */
  take(count: number, after?: number): readonly number[] | null {
    if (!Number.isInteger(count) || count < 0) {
      throw new RangeError(`A whole number of pages from 0 on can be taken, not ${count}.`)
    }
    if (after !== undefined) this.checked(after)
    if (count > this.unheld) return null
    const pages: number[] = []
    for (let last = after; pages.length < count; ) {
      const page = last === undefined ? this.startOfLargestGap(count) : this.nearestFree(last)
      this.holders[page] = 1
      pages.push(page)
      last = page
    }
    this.unheld -= count
    return pages
  }

  /**
   * One more holder for each of the pages.
   *
   * @throws RangeError if nobody holds one of them; nothing has changed then
   */
  retain(pages: readonly number[]): void {
    const unheld = pages.find((page) => this.references(page) === 0)
    if (unheld !== undefined) throw new RangeError(`Page ${unheld} is free and cannot be shared.`)
    for (const page of pages) this.holders[page]! += 1
  }

  /**
   * One holder less for each of the pages; those without any are free.
   *
   * @throws RangeError if nobody holds one of them
   */
  release(pages: readonly number[]): void {
    for (const page of pages) {
      const holders = this.references(page)
      if (holders === 0) throw new RangeError(`Page ${page} is released but nobody holds it.`)
      this.holders[page] = holders - 1
      if (holders === 1) this.unheld += 1
    }
  }

  /**
   * The count of free pages agrees with the pages.
   *
   * @throws Error if it does not: a bug
   */
  verify(): void {
    const free = this.holders.reduce((count, holders) => count + (holders === 0 ? 1 : 0), 0)
    if (free !== this.unheld) throw new Error(`${free} pages are free, but ${this.unheld} are counted.`)
    const broken = this.holders.findIndex((holders) => holders < 0)
    if (broken !== -1) throw new Error(`Page ${broken} has ${this.holders[broken]} holders.`)
  }

  private checked(page: number): number {
    if (Number.isInteger(page) && page >= 0 && page < this.pageCount) return page
    throw new RangeError(`There is no page ${page} in a pool of ${this.pageCount}.`)
  }

  /** To the right where two are equally near. */
  private nearestFree(page: number): number {
    for (let distance = 1; distance < this.pageCount; distance += 1) {
      if (this.holders[page + distance] === 0) return page + distance
      if (this.holders[page - distance] === 0) return page - distance
    }
    throw new Error('No free page although the count says so.')
  }

  /**
   * The middle of the largest gap, so that the sequence on its left may grow too; a gap at page 0 has none. Nearer to
   * its start if `count` pages fit only so.
   */
  private startOfLargestGap(count: number): number {
    let best = { start: 0, length: 0 }
    let start = 0
    for (let page = 0; page <= this.pageCount; page += 1) {
      if (page < this.pageCount && this.holders[page] === 0) continue
      if (page - start > best.length) best = { start, length: page - start }
      start = page + 1
    }
    if (best.start === 0) return 0
    const middle = Math.floor(best.length / 2)
    return best.start + Math.max(0, Math.min(middle, best.length - count))
  }
}
