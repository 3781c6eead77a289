import type { BitReader } from './bit-stream.ts'
import { CorruptBlockError } from './errors.ts'
import { type FrequencyTable, tableFromCounts } from './frequency-table.ts'
import { toHalf } from './half.ts'

/** Steps a value may lie from where it is expected, either way; beyond, it is said in full. */
const REACH = 47
const ESCAPE = 2 * REACH + 1
const SYMBOLS = ESCAPE + 1
/** Scales are quarter octaves from 2^-20. */
const SCALE_OFFSET = 80
export const MAX_SCALE = 127

/** Student's distribution with 5 degrees of freedom, whose mean deviation is 0.949: what surprises look like. */
const tables: readonly FrequencyTable[] = [0, 1, 2, 3].map((quarter) => {
  const meanSteps = 2 ** (2 + quarter / 4)
  return tableFromCounts(
    Float64Array.from({ length: SYMBOLS }, (_, symbol) => {
      if (symbol === ESCAPE) return 1e-4
      const z = (0.949 * (symbol - REACH)) / meanSteps
      return (1 + (z * z) / 5) ** -3 / meanSteps
    }),
  )
})

export const tableOfScale = (scale: number): FrequencyTable => tables[scale & 3]!

/** Scale of a channel whose values are `deviation` from where they are expected, in the mean. */
export function scaleOf(deviation: number): number {
  const scale = Math.round(4 * Math.log2(Math.max(deviation, 1e-9))) + SCALE_OFFSET
  return Math.min(MAX_SCALE, Math.max(0, scale))
}

const INFINITE = 0x7c00

/** Exponent of a scale's step: a power of two at least the smallest half, a quarter to an eighth of the mean deviation. */
const stepExponents = Int32Array.from({ length: MAX_SCALE + 1 }, (_, scale) =>
  Math.max(-24, (scale >> 2) - SCALE_OFFSET / 4 - 2),
)
const inverseSteps = Float64Array.from(stepExponents, (exponent) => 2 ** -exponent)
/** Bits that tell the halves of the lowest step apart, all from zero. */
const lowestStepBits = Uint8Array.from(
  stepExponents,
  (exponent) => 32 - Math.clz32(Math.max(0, Math.min(INFINITE, toHalf(2 ** exponent)) - 1)),
)

/** What 32 bits can count, with room to spare. */
const MOST_STEPS = 2 ** 28

/** Steps below a number, if they can be counted. What is cut off is positive, which makes cutting rounding down. */
function stepsTo(expected: number, inverse: number): number {
  const shifted = expected * inverse + MOST_STEPS
  return shifted > 0 && shifted < 2 * MOST_STEPS ? (shifted | 0) - MOST_STEPS : 0
}

/** Says which halves values are, given what was expected: a symbol for each, and some bits. */
export class HalfTeller {
  readonly symbols: Uint8Array<ArrayBuffer>
  readonly bits: Uint16Array<ArrayBuffer>
  readonly widths: Uint8Array<ArrayBuffer>

  constructor(count: number) {
    this.symbols = new Uint8Array(count)
    this.bits = new Uint16Array(count)
    this.widths = new Uint8Array(count)
  }

  /**
   * Values of one channel from `from` on; symbols go `stride` apart from `symbolAt`.
   *
   * @param expected - numbers in the places of the halves
   */
  tell(halves: Uint16Array, expected: Float32Array, place: ColumnPlace): void {
    const { symbols, bits, widths } = this
    const { from, count, scale, stride } = place
    const exponent = stepExponents[scale]!
    const inverse = inverseSteps[scale]!
    const lowest = lowestStepBits[scale]!
    let at = place.symbolAt
    // Signs and zeros come at random: arithmetic on them is faster than branches that are guessed wrongly.
    for (let index = from; index < from + count; index += 1, at += stride) {
      const half = halves[index]!
      const magnitude = half & 0x7fff
      const field = magnitude >>> 10
      const mantissa = (magnitude & 1023) | ((-field >>> 31) << 10)
      // Whole steps are the mantissa without its last bits, or with zeros after them.
      const lost = exponent + 25 - field - ((field - 1) >>> 31)
      const whole = lost >= 0 ? mantissa >>> (lost > 31 ? 31 : lost) : mantissa << (lost < -17 ? 17 : -lost)
      const sign = (half << 16) >> 31
      const symbol = (whole ^ sign) - stepsTo(expected[index]!, inverse) + REACH
      if (symbol >= 0 && symbol < ESCAPE && magnitude < INFINITE && lost >= -17) {
        symbols[at] = symbol
        const width = whole === 0 ? lowest : lost < 0 ? 0 : lost
        widths[index] = width
        bits[index] = magnitude & ((1 << width) - 1)
      } else {
        symbols[at] = ESCAPE
        widths[index] = 16
        bits[index] = half
      }
    }
  }
}

/** Where values of a channel are among the values and the symbols. */
export interface ColumnPlace {
  readonly from: number
  readonly count: number
  readonly scale: number
  readonly symbolAt: number
  readonly stride: number
}

/**
 * The half that a symbol and bits say.
 *
 * @throws CorruptBlockError if it is none
 */
export function readHalf(bits: BitReader, symbol: number, expected: number, scale: number): number {
  if (symbol === ESCAPE) return bits.get(16)
  const count = symbol - REACH + stepsTo(expected, inverseSteps[scale]!)
  const sign = count >> 31
  const whole = count ^ sign
  if (whole === 0) return (sign & 0x8000) | finiteOnly(bits.get(lowestStepBits[scale]!), count)
  const top = 31 - Math.clz32(whole)
  const exponent = stepExponents[scale]!
  const field = top + exponent + 15
  const binade = field < 1 ? 1 : field
  const lost = exponent + 25 - binade
  const mantissa = lost >= 0 ? (whole << lost) | bits.get(lost) : whole >>> -lost
  return (sign & 0x8000) | finiteOnly(((binade - 1) << 10) + mantissa, count)
}

function finiteOnly(magnitude: number, count: number): number {
  if (magnitude < INFINITE) return magnitude
  throw new CorruptBlockError(`${count} steps lead out of the halves.`)
}
