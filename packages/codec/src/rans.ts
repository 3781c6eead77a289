import { littleEndian } from './byte-cursor.ts'
import { CorruptBlockError } from './errors.ts'
import { type FrequencyTable, TABLE_BITS, TABLE_TOTAL } from './frequency-table.ts'

/** A state stays in [2^15, 2^31), so that all arithmetic fits 32-bit integers and leaves by 16 bits at a time. */
const LOWEST = 1 << 15
const STATES = 2
const STATE_BYTES = 4

/**
 * Range asymmetric numeral system with static tables: symbols of rows `[n, tables.length]`, a table for each column.
 * Two states take turns, so that neither side waits for the symbol before. Coded backwards, read forwards.
 *
 * @returns both states and the words between them, of 16 bits each
 * @see Duda 2013 (arXiv:1311.2540)
 */
export function encodeSymbols(
  symbols: Uint8Array,
  tables: readonly FrequencyTable[],
): Uint8Array<ArrayBuffer> {
  const words = new Uint16Array(symbols.length + 2 * STATES)
  let at = words.length
  let column = (symbols.length + tables.length - 1) % tables.length
  let state = LOWEST
  let other = LOWEST
  for (let index = symbols.length - 1; index >= 0; index -= 1) {
    const interval = tables[column]!.intervals[symbols[index]!]!
    column = column === 0 ? tables.length - 1 : column - 1
    const frequency = (interval & 0xffff) + 1
    // Whether a word leaves is nearly chance: no branch guesses it.
    const leaves = (frequency - 1 - (state >>> (31 - TABLE_BITS))) >>> 31
    words[at - 1] = state
    at -= leaves
    state >>>= leaves << 4
    const quotient = (state / frequency) | 0
    const next = (quotient << TABLE_BITS) + (state - quotient * frequency) + (interval >>> 16)
    // The other one takes the symbol before.
    state = other
    other = next
  }
  // The decoder begins with the state that took the first symbol, which is now the other one.
  at -= 2 * STATES
  words.set([other & 0xffff, other >>> 16, state & 0xffff, state >>> 16], at)
  return littleEndian(words.subarray(at))
}

/**
 * Reads what {@link encodeSymbols} wrote, with the same tables.
 *
 * @throws CorruptBlockError unless all bytes were used and the states are those that coding began with
 */
export function decodeSymbols(
  bytes: Uint8Array,
  tables: readonly FrequencyTable[],
  count: number,
): Uint8Array<ArrayBuffer> {
  let [state, other] = [readState(bytes, 0), readState(bytes, STATE_BYTES)]
  const words = wordsFrom(bytes, STATES * STATE_BYTES)
  let at = 0
  let column = 0
  const symbols = new Uint8Array(count)
  for (let index = 0; index < count; index += 1) {
    const table = tables[column]!
    column = column + 1 === tables.length ? 0 : column + 1
    const slot = state & (TABLE_TOTAL - 1)
    const symbol = table.symbols[slot]!
    symbols[index] = symbol
    const interval = table.intervals[symbol]!
    const next = ((interval & 0xffff) + 1) * (state >>> TABLE_BITS) + slot - (interval >>> 16)
    const wanting = (next - LOWEST) >>> 31
    const word = words[at]! & -wanting
    at += wanting
    state = other
    other = (next << (wanting << 4)) | word
  }
  if (state !== LOWEST || other !== LOWEST || at !== words.length - 1)
    throw new CorruptBlockError(
      `The entropy coder ends at word ${at} of ${words.length - 1} in states ${state} and ${other}.`,
    )
  return symbols
}

function readState(bytes: Uint8Array, at: number): number {
  if (at + STATE_BYTES > bytes.length) throw cut(bytes.length)
  const state = bytes[at]! + 256 * (bytes[at + 1]! + 256 * (bytes[at + 2]! + 256 * bytes[at + 3]!))
  if (state < LOWEST || state >= LOWEST * 65_536)
    throw new CorruptBlockError(`An entropy coder cannot begin with state ${state}.`)
  return state
}

const cut = (length: number): CorruptBlockError =>
  new CorruptBlockError(`The entropy-coded part ends after ${length} bytes.`)

/** Words from a byte on, and one more of 0 to be read in vain. */
function wordsFrom(bytes: Uint8Array, first: number): Uint16Array {
  if ((bytes.length - first) % 2 !== 0) throw cut(bytes.length)
  const words = new Uint16Array((bytes.length - first) / 2 + 1)
  for (let index = 0, at = first; at < bytes.length; index += 1, at += 2)
    words[index] = bytes[at]! | (bytes[at + 1]! << 8)
  return words
}
