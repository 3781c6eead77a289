import type { Basis } from './basis.ts'

/**
 * `left [rows, inner] · rightᵀ [columns, inner]` into `[rows, columns]`: nearly all the arithmetic of the codec. A
 * caller with faster products hands in its own.
 */
export type MultiplyTransposed = (left: Float32Array, right: Float32Array, inner: number) => Float32Array

/** Rows and columns of a tile, whose sums stay in registers. */
const TILE = 4

export const multiplyTransposed: MultiplyTransposed = (left, right, inner) => {
  const rows = left.length / inner
  const columns = right.length / inner
  const result = new Float32Array(rows * columns)
  const wholeRows = rows - (rows % TILE)
  const wholeColumns = columns - (columns % TILE)
  for (let column = 0; column < wholeColumns; column += TILE)
    for (let row = 0; row < wholeRows; row += TILE) multiplyTile(left, right, result, inner, row, column)
  for (let row = 0; row < rows; row += 1)
    for (let column = row < wholeRows ? wholeColumns : 0; column < columns; column += 1)
      result[row * columns + column] = product(left, row * inner, right, column * inner, inner)
  return result
}

function product(left: Float32Array, from: number, right: Float32Array, start: number, inner: number) {
  let sum = 0
  for (let k = 0; k < inner; k += 1) sum += left[from + k]! * right[start + k]!
  return sum
}

/** Sixteen products at once: each number read serves four of them. Written out, for engines keep no arrays in registers. */
function multiplyTile(
  left: Float32Array,
  right: Float32Array,
  result: Float32Array,
  inner: number,
  row: number,
  column: number,
): void {
  const [l0, r0] = [row * inner, column * inner]
  const [l1, l2, l3] = [l0 + inner, l0 + 2 * inner, l0 + 3 * inner]
  const [r1, r2, r3] = [r0 + inner, r0 + 2 * inner, r0 + 3 * inner]
  let [s00, s01, s02, s03] = [0, 0, 0, 0]
  let [s10, s11, s12, s13] = [0, 0, 0, 0]
  let [s20, s21, s22, s23] = [0, 0, 0, 0]
  let [s30, s31, s32, s33] = [0, 0, 0, 0]
  for (let k = 0; k < inner; k += 1) {
    const w = right[r0 + k]!
    const x = right[r1 + k]!
    const y = right[r2 + k]!
    const z = right[r3 + k]!
    const p0 = left[l0 + k]!
    s00 += p0 * w
    s01 += p0 * x
    s02 += p0 * y
    s03 += p0 * z
    const p1 = left[l1 + k]!
    s10 += p1 * w
    s11 += p1 * x
    s12 += p1 * y
    s13 += p1 * z
    const p2 = left[l2 + k]!
    s20 += p2 * w
    s21 += p2 * x
    s22 += p2 * y
    s23 += p2 * z
    const p3 = left[l3 + k]!
    s30 += p3 * w
    s31 += p3 * x
    s32 += p3 * y
    s33 += p3 * z
  }
  const columns = right.length / inner
  store(result, (row + 0) * columns + column, s00, s01, s02, s03)
  store(result, (row + 1) * columns + column, s10, s11, s12, s13)
  store(result, (row + 2) * columns + column, s20, s21, s22, s23)
  store(result, (row + 3) * columns + column, s30, s31, s32, s33)
}

function store(result: Float32Array, at: number, a: number, b: number, c: number, d: number): void {
  result[at] = a
  result[at + 1] = b
  result[at + 2] = c
  result[at + 3] = d
}

/** Factor of each channel: its part's weight. */
export function channelWeights({ parts, channels }: Pick<Basis, 'parts' | 'channels'>): Float32Array {
  const weights = new Float32Array(channels)
  let offset = 0
  for (const part of parts) {
    weights.fill(part.weight, offset, offset + part.channels)
    offset += part.channels
  }
  return weights
}

/**
 * Components `[tokens, rank]` of rows `[tokens, channels]`, less what the reference says of them.
 *
 * @param rank - the first components only
 */
export function analyse(
  basis: Basis,
  rows: Float32Array,
  reference: Float32Array | null,
  rank: number,
  multiply: MultiplyTransposed = multiplyTransposed,
): Float32Array {
  const { channels, mean, vectors } = basis
  const weights = channelWeights(basis)
  const centred = new Float32Array(rows.length)
  for (let start = 0; start < rows.length; start += channels)
    for (let channel = 0; channel < channels; channel += 1)
      centred[start + channel] = (rows[start + channel]! - mean[channel]!) * weights[channel]!
  const components = multiply(centred, vectors.subarray(0, rank * channels), channels)
  if (reference === null) return components
  const expected = expectedComponents(basis, reference, rank, multiply)
  for (let index = 0; index < components.length; index += 1)
    components[index] = components[index]! - expected[index]!
  return components
}

/** Rows `[tokens, channels]` out of the first `rank` components. */
export function synthesise(
  basis: Basis,
  components: Float32Array,
  reference: Float32Array | null,
  rank: number,
  multiply: MultiplyTransposed = multiplyTransposed,
): Float32Array {
  const { channels, mean, vectors } = basis
  const whole = Float32Array.from(components)
  if (reference !== null) {
    const expected = expectedComponents(basis, reference, rank, multiply)
    for (let index = 0; index < whole.length; index += 1) whole[index] = whole[index]! + expected[index]!
  }
  const columns = new Float32Array(channels * rank)
  for (let component = 0; component < rank; component += 1)
    for (let channel = 0; channel < channels; channel += 1)
      columns[channel * rank + component] = vectors[component * channels + channel]!
  const rows = multiply(whole, columns, rank)
  const inverse = channelWeights(basis).map((weight) => 1 / weight)
  for (let start = 0; start < rows.length; start += channels)
    for (let channel = 0; channel < channels; channel += 1)
      rows[start + channel] = rows[start + channel]! * inverse[channel]! + mean[channel]!
  return rows
}

function expectedComponents(
  { referenceChannels, referenceMean, regression }: Basis,
  reference: Float32Array,
  rank: number,
  multiply: MultiplyTransposed,
): Float32Array {
  const centred = new Float32Array(reference.length)
  for (let index = 0; index < reference.length; index += 1)
    centred[index] = reference[index]! - referenceMean[index % referenceChannels]!
  return multiply(centred, regression.subarray(0, rank * referenceChannels), referenceChannels)
}
