import { type FrequencyTable, TABLE_TOTAL, tableFromCounts } from '../frequency-table.ts'

/**
 * How often an exponent lies so far from its class, for normal values whose deviation is spread evenly over the class'
 * octave (spread 0), and whose deviations differ themselves by 0.8, 1.6 and 2.6 octaves. Numbers rather than a formula,
 * since both sides must have the same to the last bit.
 */
const counts: readonly (readonly number[])[] = [
  [0, 0, 1, 1, 2, 5, 9, 18, 37, 74, 147, 294, 588, 1166, 2260, 3994, 5077, 2537, 174, 0, 0, 0, 0, 0, 0],
  [0, 0, 1, 1, 3, 5, 11, 21, 43, 86, 172, 343, 681, 1328, 2430, 3748, 4077, 2552, 779, 98, 5, 0, 0, 0, 0],
  [
    0, 0, 1, 2, 4, 9, 17, 34, 68, 136, 268, 519, 957, 1618, 2394, 2960, 2940, 2276, 1342, 592, 193, 46, 8, 1,
    0,
  ],
  [
    1, 1, 3, 5, 11, 22, 43, 85, 164, 297, 508, 813, 1199, 1616, 1971, 2162, 2118, 1846, 1426, 973, 585, 309,
    143, 58, 19,
  ],
]
/** Place of the class' own exponent in those. */
const OWN = 16

export const SPREADS = counts.length
export const EXPONENTS = 256

/** Filled as classes come up: 256 × 4 of them at most, each of some 5 kB. */
const tables: (FrequencyTable | undefined)[] = []

/**
 * @param exponent - biased, of the deviation: 0 to 255
 * @param spread - below {@link SPREADS}
 */
export function exponentTable(exponent: number, spread: number): FrequencyTable {
  const at = exponent * SPREADS + spread
  const known = tables[at]
  if (known !== undefined) return known
  const placed = new Uint16Array(EXPONENTS)
  for (const [index, count] of counts[spread]!.entries()) {
    const symbol = exponent + index - OWN
    if (symbol >= 0 && symbol < EXPONENTS) placed[symbol] = count
  }
  const table = tableFromCounts(placed)
  tables[at] = table
  return table
}

/** Bits of a symbol of so many 4,096ths. */
const bitsOf = Float64Array.from({ length: TABLE_TOTAL + 1 }, (_, frequency) =>
  frequency === 0 ? 0 : Math.log2(TABLE_TOTAL / frequency),
)

/** Which class says these exponents in the fewest bits: of the octaves around their mean, with any spread. */
export function bestClass(exponents: Uint8Array): { readonly exponent: number; readonly spread: number } {
  const histogram = new Uint32Array(EXPONENTS)
  let sum = 0
  let first = EXPONENTS
  let end = 0
  for (const exponent of exponents) {
    histogram[exponent] = histogram[exponent]! + 1
    sum += exponent
    if (exponent < first) first = exponent
    if (exponent >= end) end = exponent + 1
  }
  const mean = Math.round(sum / exponents.length)
  let best = { exponent: mean, spread: 0 }
  let fewest = Number.POSITIVE_INFINITY
  for (let exponent = Math.max(0, mean - 1); exponent <= Math.min(EXPONENTS - 1, mean + 3); exponent += 1) {
    for (let spread = 0; spread < SPREADS; spread += 1) {
      const { frequencies } = exponentTable(exponent, spread)
      let bits = 0
      for (let symbol = first; symbol < end; symbol += 1)
        bits += histogram[symbol]! * bitsOf[frequencies[symbol]!]!
      if (bits < fewest) {
        fewest = bits
        best = { exponent, spread }
      }
    }
  }
  return best
}
