import type { Pooling } from '@deos/protocol'

/** The vector of one session in the making: chunks of its prompt come one after another. */
export class PooledState {
  private readonly sum: Float64Array
  private rows = 0

  constructor(
    readonly pooling: Pooling,
    private readonly hiddenSize: number,
  ) {
    this.sum = new Float64Array(hiddenSize)
  }

  /** @param hidden - `[rows, hiddenSize]`: every row for a mean, the last one alone otherwise */
  add(hidden: Float32Array): void {
    const { sum, hiddenSize } = this
    for (let start = 0; start < hidden.length; start += hiddenSize) {
      for (let column = 0; column < hiddenSize; column += 1) sum[column]! += hidden[start + column]!
      this.rows += 1
    }
  }

  /** `[hiddenSize]` float32, not normalised. */
  vector(): Uint8Array {
    return new Uint8Array(Float32Array.from(this.sum, (value) => value / this.rows).buffer)
  }
}
