import { DomainError } from '@deos/domain'

/** A set of blocks that does not say what it should. */
export class KvBlockSetError extends DomainError {
  readonly code = 'KV_BLOCK_SET'
  readonly retriable = false

  constructor(problem: string) {
    super(`The set of KV blocks ${problem}.`, 'The peer is broken or of another version; close the link.')
  }
}

/** Some of the blocks `[0, size)`. */
export class KvBlockSet {
  readonly #bits: Uint8Array
  #count = 0

  constructor(readonly size: number) {
    this.#bits = new Uint8Array(Math.ceil(size / 8))
  }

  static where(size: number, includes: (index: number) => boolean): KvBlockSet {
    const set = new KvBlockSet(size)
    for (let index = 0; index < size; index += 1) if (includes(index)) set.add(index)
    return set
  }

  get count(): number {
    return this.#count
  }

  has(index: number): boolean {
    return index >= 0 && index < this.size && ((this.#bits[index >> 3]! >> (index & 7)) & 1) === 1
  }

  add(index: number): void {
    if (!(Number.isInteger(index) && index >= 0 && index < this.size)) {
      throw new RangeError(`There is no block ${index} of ${this.size}.`)
    }
    if (this.has(index)) return
    this.#bits[index >> 3]! |= 1 << (index & 7)
    this.#count += 1
  }

  /** How many blocks from the first on are in the set. */
  get prefix(): number {
    let index = 0
    while (this.has(index)) index += 1
    return index
  }

  /** The same set as few bytes: lengths of its gaps and ranges, or its bits, whichever is shorter. */
  encode(): Uint8Array {
    const ranges = this.#lengths()
    const bytes = ranges.length <= this.#bits.length ? ranges : this.#bits
    return Uint8Array.of(bytes === this.#bits ? BITS : RANGES, ...bytes)
  }

  /**
   * @param size - blocks that there are; both sides know it
   * @throws KvBlockSetError for bytes that {@link KvBlockSet.encode} does not write
   */
  static decode(size: number, bytes: Uint8Array): KvBlockSet {
    const set = new KvBlockSet(size)
    if (bytes[0] === BITS) set.#readBits(bytes.subarray(1))
    else if (bytes[0] === RANGES) set.#readLengths(bytes.subarray(1))
    else throw new KvBlockSetError(`begins with ${bytes[0] ?? 'nothing'}`)
    return set
  }

  /** Lengths of gap, range, gap, …, seven bits a byte; what follows the last range is left out. */
  #lengths(): Uint8Array {
    const bytes: number[] = []
    let included = false
    let length = 0
    for (let index = 0; index < this.size; index += 1, length += 1) {
      if (this.has(index) === included) continue
      pushVarint(bytes, length)
      included = !included
      length = 0
    }
    if (included) pushVarint(bytes, length)
    return Uint8Array.from(bytes)
  }

  #readLengths(bytes: Uint8Array): void {
    let at = 0
    let index = 0
    for (let included = false; at < bytes.length; included = !included) {
      let length = 0
      let scale = 1
      for (let byte = 0x80; byte >= 0x80; scale *= 0x80) {
        if (at === bytes.length || scale > 2 ** 28) throw new KvBlockSetError('ends inside a number')
        byte = bytes[at++]!
        length += (byte & 0x7f) * scale
      }
      if (length > this.size - index) throw new KvBlockSetError(`goes beyond ${this.size} blocks`)
      if (included) for (let each = index; each < index + length; each += 1) this.add(each)
      index += length
    }
  }

  #readBits(bytes: Uint8Array): void {
    if (bytes.length !== this.#bits.length) {
      throw new KvBlockSetError(`has ${bytes.length} bytes for ${this.size} blocks`)
    }
    for (let index = 0; index < 8 * bytes.length; index += 1) {
      if (((bytes[index >> 3]! >> (index & 7)) & 1) === 0) continue
      if (index >= this.size) throw new KvBlockSetError(`goes beyond ${this.size} blocks`)
      this.add(index)
    }
  }
}

const BITS = 0
const RANGES = 1

function pushVarint(bytes: number[], value: number): void {
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
  bytes.push(rest)
}
