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

const TWO_PI_HIGH = 6.28125
const TWO_PI_LOW = 2 * Math.PI - TWO_PI_HIGH

/**
 * Cosine and sine out of additions and products alone, which IEEE 754 rounds alike everywhere: what two machines
 * predict from them must be the same to the last bit. `Math.sin` promises no such thing.
 */
export function exactRotation(angle: number, into: Float64Array): void {
  const turns = Math.round(angle / (2 * Math.PI))
  const x = (angle - turns * TWO_PI_HIGH - turns * TWO_PI_LOW) / 8
  const square = x * x
  let sine = x
  let cosine = 1
  let term = 1
  for (let n = 1; n < 16; n += 2) {
    term = (-term * square) / (n * (n + 1))
    cosine += term
    sine += (term * x) / (n + 2)
  }
  for (let doubling = 0; doubling < 3; doubling += 1) {
    const doubled = 2 * sine * cosine
    cosine = 1 - 2 * sine * sine
    sine = doubled
  }
  into[0] = cosine
  into[1] = sine
}

/** Frequencies come out of powers, which machines may round differently in the last bit: on this grid they agree. */
const onGrid = (frequency: number): number => Math.round(frequency * 2 ** 44) / 2 ** 44

/** Cosines and sines of a token's pairs. */
export function tokenRotation(geometry: RotaryGeometry, position: number): Float64Array {
  const both = new Float64Array(2)
  const rotation = new Float64Array(2 * geometry.frequencies.length)
  for (let pair = 0; pair < geometry.frequencies.length; pair += 1) {
    exactRotation(position * onGrid(geometry.frequencies[pair]!), both)
    rotation[2 * pair] = both[0]!
    rotation[2 * pair + 1] = both[1]!
  }
  return rotation
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
  const sign = direction === 'rotate' ? 1 : -1
  const stretch = direction === 'rotate' ? geometry.magnitude : 1 / geometry.magnitude
  for (let row = 0; row < positions.length; row += 1) {
    const rotation = tokenRotation(geometry, positions[row]!)
    for (let head = row * channels; head < (row + 1) * channels; head += headDim) {
      for (let pair = 0; pair < pairs.length; pair += 1) {
        const first = head + pairs[pair]![0]
        const second = head + pairs[pair]![1]
        const cosine = stretch * rotation[2 * pair]!
        const sine = sign * stretch * rotation[2 * pair + 1]!
        const x = keys[first]!
        const y = keys[second]!
        keys[first] = x * cosine - y * sine
        keys[second] = x * sine + y * cosine
      }
    }
  }
}
