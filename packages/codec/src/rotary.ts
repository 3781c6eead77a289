import type { KeyRotation, KvLayerLayout } from '@deos/domain'
import { CodecInputError } from './errors.ts'

/** How the keys of a layer turn by position, and the width of the heads they lie in. */
export interface RotaryGeometry extends KeyRotation {
  readonly headDim: number
}

/** Of a layer; null where keys know nothing of positions. */
export type RotaryOf = (layer: number) => RotaryGeometry | null

/** Looks layers up in their layouts, which hold the first layer first. */
export function rotaryOfLayouts(layouts: readonly KvLayerLayout[]): RotaryOf {
  const geometries = layouts.map(({ key, rotation }) =>
    rotation === null ? null : { headDim: key.dim, ...rotation },
  )
  return (layer) => {
    const geometry = geometries[layer]
    if (geometry === undefined)
      throw new CodecInputError(`Layer ${layer} is not among the ${geometries.length} layouts at hand.`)
    return geometry
  }
}

/** Channels that turn together in a head, first and second of each pair. */
export function rotaryPairs({
  headDim,
  first,
  pairs,
  frequencies,
  magnitude,
}: RotaryGeometry): readonly (readonly [number, number])[] {
  const count = frequencies.length
  if (!Number.isInteger(first) || first < 0 || first + 2 * count > headDim)
    throw new CodecInputError(
      `${count} pairs from dimension ${first} do not fit into heads of ${headDim} channels.`,
    )
  if (!(magnitude > 0 && magnitude < Number.POSITIVE_INFINITY))
    throw new CodecInputError(`Keys cannot be stretched by ${magnitude}.`)
  return Array.from({ length: count }, (_, pair) =>
    pairs === 'interleaved'
      ? ([first + 2 * pair, first + 2 * pair + 1] as const)
      : ([first + pair, first + pair + count] as const),
  )
}

/** A quarter turn in two numbers; whole multiples of the first are exact. */
const QUARTER_HIGH = 1.5703125
const QUARTER_LOW = Math.PI / 2 - QUARTER_HIGH
const QUARTERS = 2 / Math.PI

/** Factors of the powers of a square: in cosine 1, -1/2!, 1/4!, …; in sine over its angle 1, -1/3!, 1/5!, … */
const seriesFrom = (first: number): Float64Array => {
  const factors = Float64Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0)
  for (let place = 1, n = first; place < factors.length; place += 1, n += 2)
    factors[place] = -factors[place - 1]! / (n * (n + 1))
  return factors
}
const [cosineFactors, sineFactors] = [seriesFrom(1), seriesFrom(2)]

/**
 * Cosine and sine out of additions and products alone, which IEEE 754 rounds alike everywhere: what two machines
 * predict from them must be the same to the last bit. `Math.sin` promises no such thing.
 */
export function exactRotation(angle: number, into: Float64Array, at = 0): void {
  const quarters = Math.floor(angle * QUARTERS + 0.5)
  const x = angle - quarters * QUARTER_HIGH - quarters * QUARTER_LOW
  const square = x * x
  let cosine = 0
  let sine = 0
  for (let power = cosineFactors.length - 1; power >= 0; power -= 1) {
    cosine = cosine * square + cosineFactors[power]!
    sine = sine * square + sineFactors[power]!
  }
  sine *= x
  const quadrant = quarters - 4 * Math.floor(quarters / 4)
  into[at] = quadrant === 0 ? cosine : quadrant === 1 ? -sine : quadrant === 2 ? -cosine : sine
  into[at + 1] = quadrant === 0 ? sine : quadrant === 1 ? cosine : quadrant === 2 ? -sine : -cosine
}

/** Frequencies come out of powers, which machines may round differently in the last bit: on this grid they agree. */
const onGrid = (frequency: number): number => Math.floor(frequency * 2 ** 44 + 0.5) / 2 ** 44

/** Cosines and sines of a token's pairs, from a place of an array on. */
export function tokenRotation(
  { frequencies }: RotaryGeometry,
  position: number,
  into: Float64Array,
  at = 0,
): void {
  for (let pair = 0; pair < frequencies.length; pair += 1)
    exactRotation(position * onGrid(frequencies[pair]!), into, at + 2 * pair)
}

/**
 * Turns keys `[positions, channels]` in place: back to what they were before their positions, or forth again.
 *
 * @param positions - of each row
 */
export function rotateKeys(
  keys: Float32Array,
  positions: ArrayLike<number>,
  geometry: RotaryGeometry,
  direction: 'unrotate' | 'rotate',
): void {
  const channels = keys.length / positions.length
  const { headDim } = geometry
  if (!Number.isInteger(channels / headDim))
    throw new CodecInputError(
      `${keys.length} values are not ${positions.length} rows of heads of ${headDim}.`,
    )
  const pairs = rotaryPairs(geometry)
  const firsts = Int32Array.from(pairs, ([first]) => first)
  const apart = pairs.length > 0 ? pairs[0]![1] - pairs[0]![0] : 0
  const rotation = new Float64Array(2 * pairs.length)
  const sign = direction === 'rotate' ? 1 : -1
  const stretch = direction === 'rotate' ? geometry.magnitude : 1 / geometry.magnitude
  for (let row = 0; row < positions.length; row += 1) {
    tokenRotation(geometry, positions[row]!, rotation)
    const end = (row + 1) * channels
    for (let pair = 0; pair < firsts.length; pair += 1) {
      const cosine = stretch * rotation[2 * pair]!
      const sine = sign * stretch * rotation[2 * pair + 1]!
      for (let first = row * channels + firsts[pair]!; first < end; first += headDim) {
        const x = keys[first]!
        const y = keys[first + apart]!
        keys[first] = x * cosine - y * sine
        keys[first + apart] = x * sine + y * cosine
      }
    }
  }
}
