import {
  characters,
  choice,
  digit,
  type Expression,
  impossible,
  nothing,
  repeat,
  sequence,
  text,
} from './expression.ts'

/** A bound as JavaScript reads it. */
export interface Bound {
  readonly value: number
  readonly exclusive: boolean
}

/** Numbers without an exponent and within this magnitude are written where one side is open. */
const openLimit = 10n ** 18n - 1n
/** Significant digits that a double always tells apart. */
const exactDigits = 15
/** Digits after the point, where the bounds do not need more. */
const usualFraction = 9
/** Bounds with finer fractions are moved inwards to this many digits. */
const longestFraction = 20

/** Whole numbers between the bounds, both included; `null` leaves a side open. */
export function integersBetween(low: bigint | null, high: bigint | null): Expression {
  const from = low ?? (high !== null && high < -openLimit ? high * 10n : -openLimit)
  const to = high ?? (low !== null && low > openLimit ? low * 10n : openLimit)
  if (from > to) return impossible
  const options: Expression[] = []
  if (from < 0n) {
    const least = to < 0n ? -to : 1n
    options.push(sequence(text('-'), naturalsBetween(least, -from)))
  }
  if (to >= 0n) options.push(naturalsBetween(from > 0n ? from : 0n, to))
  return choice(...options)
}

/**
 * Decimal numbers between the bounds, without exponent. What is written satisfies the bounds also after it has been
 * rounded to a double: rounding keeps order, and an excluded bound is kept a distinguishable distance away.
 *
 * @param fractionDigits - most digits after the point; `null` leaves it to the bounds
 */
export function numbersBetween(
  low: Bound | null,
  high: Bound | null,
  fractionDigits: number | null,
): Expression {
  const options: Expression[] = []
  const negativeHigh = high === null ? null : negated(high)
  const negativeLow = low === null ? null : negated(low)
  const zero: Bound = { value: 0, exclusive: false }
  // Magnitudes of the negative half lie between −high and −low.
  if (low === null || low.value < 0)
    options.push(
      sequence(text('-'), magnitudesBetween(atLeastZero(negativeHigh) ?? zero, negativeLow, fractionDigits)),
    )
  if (high === null || high.value >= 0)
    options.push(magnitudesBetween(atLeastZero(low) ?? zero, high, fractionDigits))
  return choice(...options)
}

function negated({ value, exclusive }: Bound): Bound {
  return { value: -value, exclusive }
}

function atLeastZero(bound: Bound | null): Bound | null {
  return bound !== null && bound.value >= 0 ? bound : null
}

interface Decimal {
  readonly whole: bigint
  /** Digits after the point, without zeros at the end. */
  readonly fraction: string
  readonly exclusive: boolean
}

function magnitudesBetween(low: Bound, high: Bound | null, fractionDigits: number | null): Expression {
  const from = decimalOf(low, 'up')
  const open: Decimal = {
    whole: from.whole > openLimit ? from.whole * 10n : openLimit,
    fraction: '',
    exclusive: false,
  }
  const given = high === null ? open : decimalOf(high, 'down')
  // A bound far away is as good as none: nobody waits for three hundred digits.
  const to = given.whole > open.whole ? open : given
  if (from.whole > to.whole) return impossible
  const room = Math.max(from.fraction.length, to.fraction.length, usualFraction)
  const most = Math.min(fractionDigits ?? room, telltaleDigits(from), telltaleDigits(to))
  if (from.whole === to.whole) return sequence(text(String(from.whole)), fractionBetween(from, to, most))
  const options = [
    sequence(text(String(from.whole)), fractionBetween(from, null, most)),
    sequence(text(String(to.whole)), fractionBetween(null, to, most)),
  ]
  if (from.whole + 1n < to.whole)
    options.push(sequence(naturalsBetween(from.whole + 1n, to.whole - 1n), fractionBetween(null, null, most)))
  return choice(...options)
}

/** Digits after the point within which every number differs from an excluded bound also as a double. */
function telltaleDigits({ whole, exclusive }: Decimal): number {
  return exclusive ? Math.max(0, exactDigits - String(whole).length) : longestFraction
}

/**
 * Nothing, or a point and one to `most` digits, such that the digits lie between those of the bounds. A bound that is
 * `null` is far enough away to need no look.
 */
function fractionBetween(low: Decimal | null, high: Decimal | null, most: number): Expression {
  const lowDigits = low?.fraction ?? ''
  const highDigits = high?.fraction ?? ''
  // The text without a fraction has fraction zero.
  const zeroFits =
    (low === null || (lowDigits === '' && !low.exclusive)) &&
    (high === null || highDigits !== '' || !high.exclusive)
  /** Digits from place `at` on; `tightLow`: those before equal the lower bound's, `tightHigh` likewise. */
  const digitsFrom = (at: number, tightLow: boolean, tightHigh: boolean): Expression | null => {
    const endsHere = at > 0 && fits(at, tightLow, tightHigh)
    if (at === most) return endsHere ? nothing : null
    if (!tightLow && !tightHigh) return repeat(digit, at === 0 ? 1 : 0, most - at)
    const floor = tightLow ? Number(lowDigits[at] ?? '0') : 0
    const ceiling = tightHigh ? Number(highDigits[at] ?? '0') : 9
    const options: Expression[] = endsHere ? [nothing] : []
    const between: number[] = []
    for (let next = floor; next <= ceiling; next += 1) {
      const staysLow = tightLow && next === floor
      const staysHigh = tightHigh && next === ceiling
      if (!staysLow && !staysHigh) {
        between.push(next)
        continue
      }
      const rest = digitsFrom(at + 1, staysLow, staysHigh)
      if (rest) options.push(sequence(text(String(next)), rest))
    }
    if (between.length > 0) {
      const first = 0x30 + between[0]!
      const rest = digitsFrom(at + 1, false, false)
      if (rest) options.push(sequence(characters([[first, first + between.length]]), rest))
    }
    return options.length > 0 ? choice(...options) : null
  }
  /** Whether `at` digits that equal those of the tight bounds so far may be all. */
  const fits = (at: number, tightLow: boolean, tightHigh: boolean): boolean => {
    const aboveLow = !tightLow || (at >= lowDigits.length && !low!.exclusive)
    const belowHigh = !tightHigh || at < highDigits.length || !high!.exclusive
    return aboveLow && belowHigh
  }
  const digits = most > 0 ? digitsFrom(0, low !== null, high !== null) : null
  const options: Expression[] = zeroFits ? [nothing] : []
  if (digits) options.push(sequence(text('.'), digits))
  return choice(...options)
}

/** The bound's decimal digits, moved inwards where it has more than can be told apart or are worth writing. */
function decimalOf({ value, exclusive }: Bound, inwards: 'up' | 'down'): Decimal {
  const exact = exactDecimal(value)
  const longest = telltaleDigits({ ...exact, exclusive })
  if (exact.fraction.length <= longest) return { ...exact, exclusive }
  const scale = 10n ** BigInt(longest)
  const kept =
    exact.whole * scale + BigInt(exact.fraction.slice(0, longest) || '0') + (inwards === 'up' ? 1n : 0n)
  const fraction = longest === 0 ? '' : String(kept % scale).padStart(longest, '0')
  return { whole: kept / scale, fraction: withoutZeros(fraction), exclusive: false }
}

function exactDecimal(value: number): { whole: bigint; fraction: string } {
  const whole = BigInt(Math.trunc(value))
  if (Number.isInteger(value)) return { whole, fraction: '' }
  const match = /^(\d+)(?:\.(\d+))?(?:e-(\d+))?$/.exec(String(value))!
  const exponent = Number(match[3] ?? 0)
  const digits = `${'0'.repeat(exponent)}${match[1]}${match[2] ?? ''}`
  const point = match[1]!.length
  return { whole: BigInt(digits.slice(0, point)), fraction: withoutZeros(digits.slice(point)) }
}

function withoutZeros(fraction: string): string {
  return fraction.replace(/0+$/, '')
}

/** Natural numbers from `low` to `high`, both included, without zeros before them. */
function naturalsBetween(low: bigint, high: bigint): Expression {
  if (low > high) return impossible
  const options: Expression[] = []
  const longest = String(high).length
  for (let length = String(low).length; length <= longest; length += 1) {
    const shortest = length === 1 ? 0n : 10n ** BigInt(length - 1)
    const from = low > shortest ? low : shortest
    const last = 10n ** BigInt(length) - 1n
    const to = high < last ? high : last
    options.push(sameLength(String(from), String(to)))
  }
  return choice(...options)
}

/** Digit strings between two of one length. */
function sameLength(low: string, high: string): Expression {
  if (low === '') return nothing
  const first = Number(low[0])
  const last = Number(high[0])
  const restLow = low.slice(1)
  const restHigh = high.slice(1)
  if (first === last) return sequence(text(low[0]!), sameLength(restLow, restHigh))
  const isFloor = /^0*$/.test(restLow)
  const isCeiling = /^9*$/.test(restHigh)
  const options: Expression[] = []
  const from = isFloor ? first : first + 1
  const to = isCeiling ? last : last - 1
  if (!isFloor) options.push(sequence(text(low[0]!), sameLength(restLow, '9'.repeat(restLow.length))))
  if (from <= to)
    options.push(
      sequence(characters([[0x30 + from, 0x31 + to]]), repeat(digit, restLow.length, restLow.length)),
    )
  if (!isCeiling) options.push(sequence(text(high[0]!), sameLength('0'.repeat(restHigh.length), restHigh)))
  return choice(...options)
}
