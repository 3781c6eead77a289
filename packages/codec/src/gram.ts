import { CodecInputError } from './errors.ts'

/** Sums and products of rows `[n, channels]` seen so far: all that fitting a basis needs of them. */
export class GramAccumulator {
  private weight = 0
  private readonly sums: Float64Array
  private readonly products: Float64Array

  constructor(readonly channels: number) {
    this.sums = new Float64Array(channels)
    this.products = new Float64Array(channels * channels)
  }

  /** Rows counted, old ones for less where they were decayed. */
  get rows(): number {
    return this.weight
  }

  /** Makes everything seen so far count `factor` times as much. */
  decay(factor: number): void {
    this.weight *= factor
    for (let i = 0; i < this.sums.length; i += 1) this.sums[i] = this.sums[i]! * factor
    for (let i = 0; i < this.products.length; i += 1) this.products[i] = this.products[i]! * factor
  }

  /** @throws CodecInputError unless the values are whole rows of finite numbers; nothing is counted then */
  add(rows: Float32Array): void {
    const { channels, sums, products } = this
    const count = rows.length / channels
    if (!Number.isInteger(count))
      throw new CodecInputError(`${rows.length} values are not whole rows of ${channels} channels.`)
    if (!rows.every(Number.isFinite)) throw new CodecInputError('Rows to be fitted must be finite.')
    this.weight += count
    for (let start = 0; start < rows.length; start += channels) {
      for (let i = 0; i < channels; i += 1) {
        const x = rows[start + i]!
        sums[i] = sums[i]! + x
        const at = i * channels
        for (let j = 0; j <= i; j += 1) products[at + j] = products[at + j]! + x * rows[start + j]!
      }
    }
  }

  /** @throws CodecInputError if fewer than two rows were seen */
  moments(): { readonly mean: Float64Array; readonly covariance: Float64Array } {
    const { channels, sums, products, weight } = this
    if (weight < 2) throw new CodecInputError(`A basis needs at least 2 rows, not ${weight}.`)
    const mean = sums.map((sum) => sum / weight)
    const covariance = new Float64Array(channels * channels)
    for (let i = 0; i < channels; i += 1) {
      for (let j = 0; j <= i; j += 1) {
        const value = products[i * channels + j]! / weight - mean[i]! * mean[j]!
        covariance[i * channels + j] = value
        covariance[j * channels + i] = value
      }
    }
    return { mean, covariance }
  }
}
