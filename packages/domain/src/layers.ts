/** Consecutive layers, half-open: `[first, end)`. */
export interface LayerRange {
  readonly first: number
  readonly end: number
}

export const layerCount = (range: LayerRange): number => range.end - range.first

export const formatLayers = (range: LayerRange): string => `[${range.first}, ${range.end})`

export interface StageCosts {
  /** What each layer costs, in any unit. */
  readonly layers: readonly number[]
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
  const { head } = costs
  const layers = costs.layers.length
  const stages = speeds.length
  if (stages === 0 || stages > layers) {
    throw new RangeError(`${layers} layers cannot be cut into ${stages} stages of at least one layer.`)
  }
  const positive = (value: number) => value > 0 && Number.isFinite(value)
  if (![...costs.layers, ...speeds].every(positive) || !(head >= 0)) {
    const given = `${costs.layers.join(', ')}, ${head}; ${speeds.join(', ')}`
    throw new RangeError(`Costs and speeds must be positive, got ${given}.`)
  }
  // before[n]: what the first n layers cost together.
  const before = [0]
  for (const cost of costs.layers) before.push(before.at(-1)! + cost)
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
        const time = Math.max(
          slowest[index]![end - count]!,
          (before[end]! - before[end - count]! + extra) / speed,
        )
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
