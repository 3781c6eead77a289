/** Which pages of a stage its open sessions hold, and how many of them each. */
export class HeldPages {
  readonly #holders = new Map<number, number>()

  /** Pages held by at least one session. */
  get count(): number {
    return this.#holders.size
  }

  /**
   * Pages a session begins with; others may hold them too.
   *
   * @returns why that cannot be, or `null`
   */
  share(pages: readonly number[], pageCount: number): string | null {
    for (const page of pages) {
      if (page >= pageCount) return outside(page, pageCount)
      this.#holders.set(page, (this.#holders.get(page) ?? 0) + 1)
    }
    return null
  }

  /** Pages a session will write to: nobody else may hold them. */
  take(pages: readonly number[], pageCount: number): string | null {
    for (const page of pages) {
      if (page >= pageCount) return outside(page, pageCount)
      if (this.#holders.has(page)) return `page ${page} is held already`
      this.#holders.set(page, 1)
    }
    return null
  }

  release(pages: readonly number[]): void {
    for (const page of pages) {
      const holders = this.#holders.get(page) ?? 0
      if (holders > 1) this.#holders.set(page, holders - 1)
      else this.#holders.delete(page)
    }
  }

  clear(): void {
    this.#holders.clear()
  }
}

const outside = (page: number, pageCount: number): string => `page ${page} is not one of ${pageCount}`
