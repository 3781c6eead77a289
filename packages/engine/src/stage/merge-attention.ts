/** What attention to a part of the positions gives. */
export interface PartialAttention {
  /** `[rows, heads, valueDim]`, each divided by the sum of its own weights. */
  readonly values: Float32Array
  /** Logarithm of that sum, for each head and row; far below all others where a part has no position to look at. */
  readonly logSum: (row: number, head: number) => number
}

export interface MergeShape {
  readonly heads: number
  readonly valueDim: number
}

/**
 * Attention to all positions out of that to parts of them: exact but for rounding.
 *
 * @param rows - which of the rows to merge
 * @param sinks - a score of each head that takes its share and gives nothing for it
 * @returns `[rows, heads, valueDim]`
 * @see Dao et al. 2022, "FlashAttention", section 3.1 (arXiv:2205.14135)
 */
export function mergeAttention(
  parts: readonly PartialAttention[],
  rows: readonly number[],
  { heads, valueDim }: MergeShape,
  sinks: Float32Array | null,
): Float32Array {
  const merged = new Float32Array(rows.length * heads * valueDim)
  for (const [index, row] of rows.entries()) {
    for (let head = 0; head < heads; head += 1) {
      const sums = parts.map(({ logSum }) => logSum(row, head))
      const sink = sinks?.[head] ?? Number.NEGATIVE_INFINITY
      const largest = Math.max(sink, ...sums)
      const weights = sums.map((sum) => Math.exp(sum - largest))
      const total = weights.reduce((sum, weight) => sum + weight, Math.exp(sink - largest))
      const from = (row * heads + head) * valueDim
      const into = (index * heads + head) * valueDim
      for (const [part, { values }] of parts.entries()) {
        const share = weights[part]! / total
        if (share === 0) continue
        for (let dim = 0; dim < valueDim; dim += 1) merged[into + dim]! += share * values[from + dim]!
      }
    }
  }
  return merged
}
