/** Consecutive layers, half-open: `[first, end)`. */
export interface LayerRange {
  readonly first: number
  readonly end: number
}

export const layerCount = (range: LayerRange): number => range.end - range.first

export const formatLayers = (range: LayerRange): string => `[${range.first}, ${range.end})`

/**
 * Cuts `layers` into consecutive ranges whose sizes follow `weights` as closely as whole layers allow;
 * every range gets at least one layer. Largest remainders win, earlier ranges break ties.
 *
 * @throws RangeError if there are more parts than layers, or a weight is not positive
 */
export function splitLayers(layers: number, weights: readonly number[]): readonly LayerRange[] {
  if (weights.length === 0 || weights.length > layers) {
    throw new RangeError(
      `${layers} layers cannot be cut into ${weights.length} stages of at least one layer.`,
    )
  }
  if (weights.some((weight) => !(weight > 0) || !Number.isFinite(weight))) {
    throw new RangeError(`Stage weights must be positive, got ${weights.join(', ')}.`)
  }
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const spare = layers - weights.length
  const exact = weights.map((weight) => (weight / total) * spare)
  const counts = exact.map((share) => 1 + Math.floor(share))
  const missing = layers - counts.reduce((sum, count) => sum + count, 0)
  const byRemainder = exact
    .map((share, index) => ({ index, remainder: share - Math.floor(share) }))
    .sort((a, b) => b.remainder - a.remainder || a.index - b.index)
  for (const { index } of byRemainder.slice(0, missing)) counts[index] = counts[index]! + 1
  let first = 0
  return counts.map((count) => {
    const range = { first, end: first + count }
    first = range.end
    return range
  })
}
