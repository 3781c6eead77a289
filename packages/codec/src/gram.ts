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
    for (let at = 0; at < rows.length; at += 1) sums[at % channels]! += rows[at]!
    // Rows of zeros make the last four whole.
    const padded = new Float32Array(4 * Math.ceil(count / 4) * channels)
    padded.set(rows)
    for (let start = 0; start < padded.length; start += 4 * channels)
      addProducts(products, padded, start, channels)
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

/** Four rows at once, since reading and writing the sums takes longer than the products. */
function addProducts(products: Float64Array, rows: Float32Array, start: number, channels: number): void {
  const [second, third, fourth] = [start + channels, start + 2 * channels, start + 3 * channels]
  for (let i = 0; i < channels; i += 1) {
    const w = rows[start + i]!
    const x = rows[second + i]!
    const y = rows[third + i]!
    const z = rows[fourth + i]!
    const at = i * channels
    for (let j = 0; j <= i; j += 1)
      products[at + j]! +=
        w * rows[start + j]! + x * rows[second + j]! + y * rows[third + j]! + z * rows[fourth + j]!
  }
}
