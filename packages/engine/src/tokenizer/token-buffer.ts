/** A growing list of token ids. */
export class TokenBuffer {
  #ids = new Int32Array(256)
  #length = 0

  get length(): number {
    return this.#length
  }

  push(id: number): void {
    if (this.#length === this.#ids.length) this.#grow(this.#length + 1)
    this.#ids[this.#length] = id
    this.#length += 1
  }

  pushAll(ids: ArrayLike<number>): void {
    this.#grow(this.#length + ids.length)
    this.#ids.set(ids, this.#length)
    this.#length += ids.length
  }

  /** A copy of what was pushed from `first` on. */
  slice(first = 0): Int32Array {
    return this.#ids.slice(first, this.#length)
  }

  #grow(needed: number): void {
    if (needed <= this.#ids.length) return
    const larger = new Int32Array(Math.max(needed, this.#ids.length * 2))
    larger.set(this.#ids)
    this.#ids = larger
  }
}
