import { type Basis, finishBasis } from './basis.ts'
import { CodecInputError } from './errors.ts'
import type { GramAccumulator } from './gram.ts'
import { channelWeights } from './projection.ts'

/** Residual energy over what was fitted, from which a basis is renewed. */
export const RENEWAL_RATIO = 1.25

/**
 * Share of the weighted variance about the basis' mean that its leading components do not hold.
 *
 * @param rank - components that take part at the step in use
 */
export function residualShare(basis: Basis, gram: GramAccumulator, rank: number): number {
  const second = secondMoments(basis, gram)
  const { channels, vectors } = basis
  let whole = 0
  for (let i = 0; i < channels; i += 1) whole += second[i * channels + i]!
  let held = 0
  for (let component = 0; component < Math.min(rank, basis.rank); component += 1) {
    const image = timesVector(second, vectors.subarray(component * channels, (component + 1) * channels))
    held += dot(image, vectors, component * channels)
  }
  return whole > 0 ? Math.max(0, 1 - held / whole) : 0
}

/** Whether a basis has drifted so far from what it is used on that a new version pays. */
export const needsRenewal = (fittedShare: number, seenShare: number): boolean =>
  seenShare > RENEWAL_RATIO * fittedShare

/**
 * One step of subspace iteration from the present vectors: each is multiplied by the covariance seen of late and made
 * orthogonal to those before it. A few times rank × channels² products, where fitting anew takes 4 × channels³. Tables
 * stay. The result travels once, as its bytes.
 *
 * @param gram - of rows like the basis', old ones decayed
 * @throws CodecInputError if extents do not fit, or the basis has a reference: such a one is fitted anew
 */
export function renewBasis(
  basis: Basis,
  gram: GramAccumulator,
): { readonly basis: Basis; readonly bytes: Uint8Array<ArrayBuffer> } {
  const { channels, rank } = basis
  const { mean } = gram.moments()
  const renewed = { ...basis, mean: Float32Array.from(mean) }
  const second = secondMoments(renewed, gram)
  const vectors = new Float64Array(rank * channels)
  let kept = 0
  for (let component = 0; component < rank; component += 1) {
    const from = basis.vectors.subarray(component * channels, (component + 1) * channels)
    const image = timesVector(second, from)
    // Twice, for what the first pass leaves of nearly dependent vectors.
    const before = Math.sqrt(dot(image, image, 0))
    for (let pass = 0; pass < 2; pass += 1) removeSpan(image, vectors, kept)
    const length = Math.sqrt(dot(image, image, 0))
    if (!(length > 1e-9 * before)) continue
    for (let i = 0; i < channels; i += 1) vectors[kept * channels + i] = image[i]! / length
    kept += 1
  }
  if (kept === 0) throw new CodecInputError('Nothing varies along any vector of the basis.', 'Fit a new one.')
  const spread = Float64Array.from({ length: kept }, (_, component) => {
    const image = timesVector(second, vectors.subarray(component * channels, (component + 1) * channels))
    return Math.sqrt(Math.max(dot(image, vectors, component * channels), 1e-12))
  })
  const order = Array.from(spread.keys()).sort((a, b) => spread[b]! - spread[a]!)
  const sorted = new Float32Array(kept * channels)
  for (const [to, from] of order.entries())
    sorted.set(vectors.subarray(from * channels, (from + 1) * channels), to * channels)
  const deviations = Float32Array.from(order, (from) => spread[from]!)
  return finishBasis({ ...renewed, version: basis.version + 1, rank: kept, vectors: sorted, deviations })
}

/** Weighted second moments about the basis' mean, `[channels, channels]`. */
function secondMoments(basis: Basis, gram: GramAccumulator): Float64Array {
  const { channels, mean: centre } = basis
  if (basis.referenceChannels > 0 || gram.channels !== channels)
    throw new CodecInputError(
      `A Gram matrix of ${gram.channels} channels does not renew a basis of ${channels} with ${basis.referenceChannels} of reference.`,
      'Fit a new basis.',
    )
  const { mean, covariance } = gram.moments()
  const weights = channelWeights(basis)
  for (let i = 0; i < channels; i += 1) {
    for (let j = 0; j < channels; j += 1) {
      const shift = (mean[i]! - centre[i]!) * (mean[j]! - centre[j]!)
      covariance[i * channels + j] = (covariance[i * channels + j]! + shift) * weights[i]! * weights[j]!
    }
  }
  return covariance
}

function timesVector(matrix: Float64Array, vector: ArrayLike<number>): Float64Array {
  const size = vector.length
  const image = new Float64Array(size)
  for (let i = 0; i < size; i += 1) {
    let sum = 0
    for (let j = 0; j < size; j += 1) sum += matrix[i * size + j]! * vector[j]!
    image[i] = sum
  }
  return image
}

function dot(a: Float64Array, b: ArrayLike<number>, offset: number): number {
  let sum = 0
  for (let i = 0; i < a.length; i += 1) sum += a[i]! * b[offset + i]!
  return sum
}

function removeSpan(vector: Float64Array, span: Float64Array, count: number): void {
  for (let other = 0; other < count; other += 1) {
    const along = dot(vector, span, other * vector.length)
    for (let i = 0; i < vector.length; i += 1)
      vector[i] = vector[i]! - along * span[other * vector.length + i]!
  }
}
