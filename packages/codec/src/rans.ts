import { CorruptBlockError } from './errors.ts'
import { type FrequencyTable, TABLE_BITS, TABLE_TOTAL } from './frequency-table.ts'

/** The state stays in [2^23, 2^31), so that all arithmetic fits 32-bit integers. */
const LOWEST = 1 << 23

/**
 * Range asymmetric numeral system with static tables. Symbols are collected and coded backwards, so that the decoder
 * reads forwards.
 *
 * @see Duda 2013 (arXiv:1311.2540)
 */
export class RansEncoder {
  private intervals = new Uint32Array(4096)
  private count = 0

  put(table: FrequencyTable, symbol: number): void {
    this.push(table.starts[symbol]!, table.frequencies[symbol]!)
  }

  /** Bits that are as likely 0 as 1; at most 32 of them, lowest first. */
  putBits(value: number, bits: number): void {
    let rest = value
    for (let left = bits; left > 0; left -= 8) {
      const width = Math.min(8, left)
      const size = TABLE_TOTAL >>> width
      this.push((rest & ((1 << width) - 1)) * size, size)
      rest >>>= 8
    }
  }

  done(): Uint8Array<ArrayBuffer> {
    const reversed = new Uint8Array(2 * this.count + 4)
    let at = reversed.length
    let state = LOWEST
    for (let index = this.count - 1; index >= 0; index -= 1) {
      const interval = this.intervals[index]!
      const frequency = (interval & 0xffff) + 1
      const limit = ((LOWEST >>> TABLE_BITS) << 8) * frequency
      while (state >= limit) {
        at -= 1
        reversed[at] = state & 255
        state >>>= 8
      }
      const quotient = (state / frequency) | 0
      state = (quotient << TABLE_BITS) + (state - quotient * frequency) + (interval >>> 16)
    }
    for (let byte = 0; byte < 4; byte += 1) {
      at -= 1
      reversed[at] = state & 255
      state >>>= 8
    }
    return reversed.slice(at)
  }

  private push(start: number, frequency: number): void {
    if (this.count === this.intervals.length) {
      const larger = new Uint32Array(2 * this.count)
      larger.set(this.intervals)
      this.intervals = larger
    }
    this.intervals[this.count] = (start << 16) | (frequency - 1)
    this.count += 1
  }
}

/** Reads what {@link RansEncoder} wrote, with the same tables in the same order. */
export class RansDecoder {
  private state = 0
  private at = 0

  constructor(private readonly bytes: Uint8Array) {
    for (let byte = 0; byte < 4; byte += 1) this.state = ((this.state << 8) | this.next()) >>> 0
    if (this.state < LOWEST || this.state >= LOWEST * 256)
      throw new CorruptBlockError(`An entropy coder cannot begin with state ${this.state}.`)
  }

  get(table: FrequencyTable): number {
    const slot = this.state & (TABLE_TOTAL - 1)
    const symbol = table.symbols[slot]!
    this.advance(table.frequencies[symbol]!, slot - table.starts[symbol]!)
    return symbol
  }

  getBits(bits: number): number {
    let value = 0
    for (let read = 0; read < bits; read += 8) {
      const width = Math.min(8, bits - read)
      const slot = this.state & (TABLE_TOTAL - 1)
      const shift = TABLE_BITS - width
      const part = slot >>> shift
      this.advance(1 << shift, slot - (part << shift))
      value += part * 2 ** read
    }
    return value
  }

  /** @throws CorruptBlockError unless all bytes were used and the state is the one coding began with */
  finish(): void {
    if (this.state !== LOWEST || this.at !== this.bytes.length)
      throw new CorruptBlockError(
        `The entropy coder ends at byte ${this.at} of ${this.bytes.length} in state ${this.state}.`,
      )
  }

  private advance(frequency: number, offset: number): void {
    let state = frequency * (this.state >>> TABLE_BITS) + offset
    while (state < LOWEST) state = (state << 8) | this.next()
    this.state = state
  }

  private next(): number {
    const byte = this.bytes[this.at]
    if (byte === undefined) throw new CorruptBlockError(`The entropy-coded part ends after ${this.at} bytes.`)
    this.at += 1
    return byte
  }
}
