/** Token ids that grow at the end. */
export class TokenSequence {
  #ids: Int32Array
  #length: number

  /** @param ids - not copied, and not written to */
  constructor(ids: Int32Array) {
    this.#ids = ids
    this.#length = ids.length
  }

  get length(): number {
    return this.#length
  }

  at(index: number): number {
    return this.#ids[index]!
  }

  push(id: number): void {
    if (this.#length === this.#ids.length) {
      const grown = new Int32Array(this.#length * 2 + 16)
      grown.set(this.#ids)
      this.#ids = grown
    }
    this.#ids[this.#length++] = id
  }

  /** A view of positions `[first, end)`. */
  view(first: number, end: number): Int32Array {
    return this.#ids.subarray(first, end)
  }

  /** A copy of positions `[first, end)`. */
  slice(first: number, end: number): Int32Array {
    return this.#ids.slice(first, end)
  }
}

/** How many tokens two sequences begin with in common. */
export function commonLength(a: TokenSequence, b: TokenSequence): number {
  const end = Math.min(a.length, b.length)
  let index = 0
  while (index < end && a.at(index) === b.at(index)) index += 1
  return index
}
