import { CorruptBlockError } from './errors.ts'

/** Frequencies of a table add up to this. */
export const TABLE_BITS = 12
export const TABLE_TOTAL = 1 << TABLE_BITS

/** How often each symbol comes, in 4,096ths, with the sums and the look-up that coding needs. */
export interface FrequencyTable {
  readonly frequencies: Uint16Array
  /** Of each symbol: where it starts in the upper half, its frequency less 1 in the lower. */
  readonly intervals: Int32Array
  /** Symbol of each of the 4,096 slots. */
  readonly symbols: Uint8Array
}

/** A table in which every symbol can be said, from counts that may be zero or fractions. */
export function tableFromCounts(counts: ArrayLike<number>): FrequencyTable {
  const size = counts.length
  let total = 0
  for (let symbol = 0; symbol < size; symbol += 1) total += counts[symbol]!
  const frequencies = new Uint16Array(size)
  const spare = TABLE_TOTAL - size
  let used = 0
  let largest = 0
  for (let symbol = 0; symbol < size; symbol += 1) {
    frequencies[symbol] = 1 + (total > 0 ? Math.floor((counts[symbol]! / total) * spare) : 0)
    used += frequencies[symbol]!
    if (frequencies[symbol]! > frequencies[largest]!) largest = symbol
  }
  frequencies[largest] = frequencies[largest]! + TABLE_TOTAL - used
  return tableOf(frequencies)
}

/** @throws CorruptBlockError unless each frequency is positive and they add up */
export function tableOf(frequencies: Uint16Array): FrequencyTable {
  const intervals = new Int32Array(frequencies.length)
  const symbols = new Uint8Array(TABLE_TOTAL)
  let sum = 0
  for (let symbol = 0; symbol < frequencies.length; symbol += 1) {
    const frequency = frequencies[symbol]!
    if (frequency === 0 || sum + frequency > TABLE_TOTAL)
      throw new CorruptBlockError(`Symbol ${symbol} has a frequency of ${frequency} after ${sum}.`)
    intervals[symbol] = (sum << 16) | (frequency - 1)
    symbols.fill(symbol, sum, sum + frequency)
    sum += frequency
  }
  if (sum !== TABLE_TOTAL) throw new CorruptBlockError(`Frequencies add up to ${sum}, not ${TABLE_TOTAL}.`)
  return { frequencies, intervals, symbols }
}
