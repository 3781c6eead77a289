import type { Basis } from './basis.ts'

/**
 * `left [rows, inner] · rightᵀ [columns, inner]` into `[rows, columns]`: nearly all the arithmetic of the codec. A
 * caller with faster products hands in its own.
 */
export type MultiplyTransposed = (left: Float32Array, right: Float32Array, inner: number) => Float32Array

export const multiplyTransposed: MultiplyTransposed = (left, right, inner) => {
  const rows = left.length / inner
  const columns = right.length / inner
  const result = new Float32Array(rows * columns)
  for (let column = 0; column < columns; column += 1) {
    const start = column * inner
    for (let row = 0; row < rows; row += 1) {
      const from = row * inner
      let a = 0
      let b = 0
      let c = 0
      let d = 0
      let k = 0
      for (; k + 3 < inner; k += 4) {
        a += left[from + k]! * right[start + k]!
        b += left[from + k + 1]! * right[start + k + 1]!
        c += left[from + k + 2]! * right[start + k + 2]!
        d += left[from + k + 3]! * right[start + k + 3]!
      }
      for (; k < inner; k += 1) a += left[from + k]! * right[start + k]!
      result[row * columns + column] = a + b + (c + d)
    }
  }
  return result
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
  for (let index = 0; index < rows.length; index += 1) {
    const channel = index % channels
    centred[index] = (rows[index]! - mean[channel]!) * weights[channel]!
  }
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
  const weights = channelWeights(basis)
  for (let index = 0; index < rows.length; index += 1) {
    const channel = index % channels
    rows[index] = rows[index]! / weights[channel]! + mean[channel]!
  }
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
