/** A fixed number of bits, all clear at first. */
export class Bitmap {
  readonly bytes: Uint8Array
  #set = 0

  constructor(readonly size: number) {
    this.bytes = new Uint8Array(Math.ceil(size / 8))
  }

  /** @param bytes - not kept; bits beyond `size` are ignored */
  static from(size: number, bytes: Uint8Array): Bitmap {
    const bitmap = new Bitmap(size)
    for (let index = 0; index < size; index++) {
      if (((bytes[index >> 3] ?? 0) >> (index & 7)) & 1) bitmap.add(index)
    }
    return bitmap
  }

  /** Bits that are set. */
  get count(): number {
    return this.#set
  }

  get full(): boolean {
    return this.#set === this.size
  }

  has(index: number): boolean {
    return ((this.bytes[index >> 3]! >> (index & 7)) & 1) === 1
  }

  add(index: number): void {
    if (this.has(index)) return
    this.bytes[index >> 3]! |= 1 << (index & 7)
    this.#set += 1
  }
}
