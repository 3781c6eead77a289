import { type Basis, finishBasis, type WeightedPart } from './basis.ts'
import { solveSymmetric } from './cholesky.ts'
import { fitClasses } from './component-classes.ts'
import { symmetricEigen } from './eigen.ts'
import { CodecInputError } from './errors.ts'
import type { GramAccumulator } from './gram.ts'
import { analyse, channelWeights } from './projection.ts'

export interface BasisFit {
  readonly parts: readonly WeightedPart[]
  /** Over rows `[reference, channels]`: what both sides know first, then all parts side by side. */
  readonly gram: GramAccumulator
  readonly referenceChannels: number
  /** Some of the rows, by which the shapes of the components are learnt: reference and channels apart. */
  readonly sample: { readonly rows: Float32Array; readonly reference: Float32Array | null }
  /** Components with a smaller deviation are left out: a step at which no one will ever encode, over 8. */
  readonly smallestDeviation: number
  readonly version: number
}

/**
 * The basis that packs the parts' variance into the fewest components, after what a reference says of them.
 *
 * @throws CodecInputError if extents do not fit, or nothing varies more than the smallest deviation
 */
export function fitBasis(fit: BasisFit): { readonly basis: Basis; readonly bytes: Uint8Array<ArrayBuffer> } {
  const { parts, gram, referenceChannels, version } = fit
  const channels = parts.reduce((all, part) => all + part.channels, 0)
  if (gram.channels !== referenceChannels + channels)
    throw new CodecInputError(
      `The Gram matrix is of ${gram.channels} channels, not ${referenceChannels} + ${channels}.`,
    )
  const { mean, covariance } = gram.moments()
  const factors = regress(covariance, referenceChannels, channels)
  const residual = residualCovariance(covariance, factors, referenceChannels, channels)
  const weights = channelWeights({ parts, channels })
  for (let i = 0; i < channels; i += 1)
    for (let j = 0; j < channels; j += 1) residual[i * channels + j]! *= weights[i]! * weights[j]!
  const { values, vectors } = symmetricEigen(residual, channels)
  const rank = values.findLastIndex((value) => Math.sqrt(Math.max(value, 0)) >= fit.smallestDeviation) + 1
  if (rank === 0)
    throw new CodecInputError(`No component varies by ${fit.smallestDeviation} or more.`, 'Lower the limit.')
  const content = {
    ...{ version, parts, channels, rank, referenceChannels },
    mean: Float32Array.from(mean.subarray(referenceChannels)),
    referenceMean: Float32Array.from(mean.subarray(0, referenceChannels)),
    vectors: Float32Array.from(vectors.subarray(0, rank * channels)),
    deviations: Float32Array.from(values.subarray(0, rank), Math.sqrt),
    regression: componentFactors(vectors, weights, factors, { rank, channels, referenceChannels }),
  }
  const classes = fitClasses(normalisedSample({ ...content, classes: [], id: '' }, fit.sample))
  return finishBasis({ ...content, classes })
}

/** `[referenceChannels, channels]`: what one unit of a reference channel adds to a channel. */
function regress(covariance: Float64Array, reference: number, channels: number): Float64Array {
  if (reference === 0) return new Float64Array(0)
  const all = reference + channels
  const own = new Float64Array(reference * reference)
  const cross = new Float64Array(reference * channels)
  for (let i = 0; i < reference; i += 1) {
    own.set(covariance.subarray(i * all, i * all + reference), i * reference)
    cross.set(covariance.subarray(i * all + reference, (i + 1) * all), i * channels)
  }
  return solveSymmetric(own, reference, cross, 1e-4)
}

function residualCovariance(
  covariance: Float64Array,
  factors: Float64Array,
  reference: number,
  channels: number,
): Float64Array {
  const all = reference + channels
  const residual = new Float64Array(channels * channels)
  for (let i = 0; i < channels; i += 1)
    residual.set(
      covariance.subarray((reference + i) * all + reference, (reference + i + 1) * all),
      i * channels,
    )
  for (let r = 0; r < reference; r += 1) {
    for (let i = 0; i < channels; i += 1) {
      const cross = covariance[r * all + reference + i]!
      for (let j = 0; j < channels; j += 1)
        residual[i * channels + j] = residual[i * channels + j]! - cross * factors[r * channels + j]!
    }
  }
  for (let i = 0; i < channels; i += 1)
    for (let j = 0; j < i; j += 1) {
      const mean = (residual[i * channels + j]! + residual[j * channels + i]!) / 2
      residual[i * channels + j] = mean
      residual[j * channels + i] = mean
    }
  return residual
}

function componentFactors(
  vectors: Float64Array,
  weights: Float32Array,
  factors: Float64Array,
  { rank, channels, referenceChannels }: { rank: number; channels: number; referenceChannels: number },
): Float32Array {
  const result = new Float32Array(rank * referenceChannels)
  for (let component = 0; component < rank; component += 1)
    for (let r = 0; r < referenceChannels; r += 1) {
      let sum = 0
      for (let c = 0; c < channels; c += 1)
        sum += vectors[component * channels + c]! * weights[c]! * factors[r * channels + c]!
      result[component * referenceChannels + r] = sum
    }
  return result
}

function normalisedSample(basis: Basis, { rows, reference }: BasisFit['sample']): Float32Array {
  const components = analyse(basis, rows, reference, basis.rank)
  for (let index = 0; index < components.length; index += 1)
    components[index] = components[index]! / basis.deviations[index % basis.rank]!
  return components
}
