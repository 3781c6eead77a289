import { littleEndian } from './byte-cursor.ts'
import { CorruptBlockError } from './errors.ts'

/**
 * Bits that are as likely 0 as 1, lowest first, one number after another.
 *
 * @param values - without bits above their width
 * @param widths - up to 16
 */
export function packBits(values: Uint16Array, widths: Uint8Array): Uint8Array<ArrayBuffer> {
  const words = new Uint16Array(values.length + 2)
  let at = 0
  let pending = 0
  let count = 0
  for (let index = 0; index < values.length; index += 1) {
    pending |= values[index]! << count
    count += widths[index]!
    words[at] = pending
    // Whether a word is full is nearly chance: no branch guesses it.
    const full = count >>> 4
    at += full
    pending >>>= full << 4
    count &= 15
  }
  words[at] = pending
  return littleEndian(words.subarray(0, at + 1)).slice(0, 2 * at + ((count + 7) >>> 3))
}

/** Reads what {@link packBits} wrote. */
export class BitReader {
  private at = 0
  private readonly bytes: Uint8Array

  /** Zeros after the end spare a look at the length for each number; {@link finish} finds who read them. */
  constructor(bytes: Uint8Array) {
    this.bytes = new Uint8Array(bytes.length + 4)
    this.bytes.set(bytes)
  }

  /** @param width - up to 16 */
  get(width: number): number {
    const { at, bytes } = this
    const byte = at >>> 3
    this.at = at + width
    const window = bytes[byte]! | (bytes[byte + 1]! << 8) | (bytes[byte + 2]! << 16)
    return (window >>> (at & 7)) & ((1 << width) - 1)
  }

  /** @throws CorruptBlockError unless all bytes were used, none after them, and what is left of the last is 0 */
  finish(): void {
    const length = this.bytes.length - 4
    const used = (this.at + 7) >>> 3
    if (used !== length || (this.at & 7 && this.bytes[length - 1]! >>> (this.at & 7) !== 0))
      throw new CorruptBlockError(`The bits end in byte ${used} of ${length}.`)
  }
}
