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

export interface StageCosts {
  readonly layers: number
  /** What one layer costs, in any unit. */
  readonly layer: number
  /** What the last stage pays on top, in the same unit. */
  readonly head: number
}

/**
 * Cuts layers into consecutive ranges, one for each speed, so that the slowest stage is as fast as it can be: the
 * slowest stage sets the pace of a pipeline. Every range gets at least one layer. Of equally good cuts, the one that
 * gives earlier stages fewer layers.
 *
 * @throws RangeError if there are more stages than layers, or a speed or cost makes no sense
 */
export function balanceLayers(costs: StageCosts, speeds: readonly number[]): readonly LayerRange[] {
  const { layers, layer, head } = costs
  const stages = speeds.length
  if (stages === 0 || stages > layers) {
    throw new RangeError(`${layers} layers cannot be cut into ${stages} stages of at least one layer.`)
  }
  if (![layer, ...speeds].every((value) => value > 0 && Number.isFinite(value)) || !(head >= 0)) {
    throw new RangeError(`Costs and speeds must be positive, got ${layer}, ${head}; ${speeds.join(', ')}.`)
  }
  // slowest[s][n]: time of the slowest of the first s stages, holding n layers, in the best cut.
  const slowest = [new Array<number>(layers + 1).fill(Number.POSITIVE_INFINITY)]
  slowest[0]![0] = 0
  const taken: number[][] = [[]]
  for (const [index, speed] of speeds.entries()) {
    const times = new Array<number>(layers + 1).fill(Number.POSITIVE_INFINITY)
    const counts = new Array<number>(layers + 1).fill(0)
    const extra = index === stages - 1 ? head : 0
    for (let end = index + 1; end <= layers; end += 1) {
      for (let count = end - index; count >= 1; count -= 1) {
        const time = Math.max(slowest[index]![end - count]!, (count * layer + extra) / speed)
        if (time >= times[end]!) continue
        times[end] = time
        counts[end] = count
      }
    }
    slowest.push(times)
    taken.push(counts)
  }
  const ranges: LayerRange[] = []
  for (let stage = stages, end = layers; stage > 0; stage -= 1) {
    const first = end - taken[stage]![end]!
    ranges.unshift({ first, end })
    end = first
  }
  return ranges
}
