import type { LayerRange, PlacementCandidate } from '@deos/domain'
import type { Demand } from './demand.ts'

const halvings = 16
const closeEnough = 1e-4

/**
 * Shares the layers in proportion to measured speed as far as memory allows: the slowest stage, which sets the pace
 * of many sequences, is about as fast as it can be. A quick cut; {@link evenLayers} spreads what it leaves open.
 *
 * @returns null if the candidates do not fit in this order
 */
export function shareLayers(
  demand: Demand,
  order: readonly PlacementCandidate[],
): readonly LayerRange[] | null {
  let best = cutWithin(demand, order, Number.POSITIVE_INFINITY)
  if (!best) return null
  let slowestMs = slowestStageMs(demand, order, best)
  const speeds = order.reduce((sum, { benchmark }) => sum + benchmark.weightBytesPerSecond, 0)
  let tooFastMs = (demand.readBytes / speeds) * 1000
  for (let round = 0; round < halvings && slowestMs - tooFastMs > slowestMs * closeEnough; round += 1) {
    const limitMs = (slowestMs + tooFastMs) / 2
    const cut = cutWithin(demand, order, limitMs)
    if (cut) {
      best = cut
      slowestMs = slowestStageMs(demand, order, cut)
    } else tooFastMs = limitMs
  }
  return best
}

/**
 * Of all cuts whose slowest stage is no slower than in `cut`, the one with the least sum of squared stage times: where
 * memory or a slow machine forces one stage to be slow, the others still share evenly.
 */
export function evenLayers(
  demand: Demand,
  order: readonly PlacementCandidate[],
  cut: readonly LayerRange[],
): readonly LayerRange[] {
  const limitMs = slowestStageMs(demand, order, cut) * (1 + 1e-9)
  const { layers } = demand
  const stages = order.length
  // least[s][n]: sum of squares of the first s stages that hold n layers.
  let least = new Array<number>(layers + 1).fill(Number.POSITIVE_INFINITY)
  least[0] = 0
  const firsts: number[][] = []
  for (const [index, candidate] of order.entries()) {
    const rest = stages - 1 - index
    const next = new Array<number>(layers + 1).fill(Number.POSITIVE_INFINITY)
    const chosen = new Array<number>(layers + 1).fill(-1)
    for (let first = index; first < layers - rest; first += 1) {
      if (least[first] === Number.POSITIVE_INFINITY) continue
      for (let end = rest === 0 ? layers : first + 1; end <= layers - rest; end += 1) {
        const range = { first, end }
        const timeMs = demand.readTime(range, candidate.benchmark.weightBytesPerSecond)
        if (demand.roomOf(range) > candidate.freeBytes || timeMs > limitMs) break
        const sum = least[first]! + timeMs * timeMs
        if (sum >= next[end]!) continue
        next[end] = sum
        chosen[end] = first
      }
    }
    least = next
    firsts.push(chosen)
  }
  const ranges: LayerRange[] = []
  for (let stage = stages - 1, end = layers; stage >= 0; stage -= 1) {
    const first = firsts[stage]![end]!
    if (first < 0) return cut
    ranges.unshift({ first, end })
    end = first
  }
  return ranges
}

/** Every stage takes as much as it can in its room and in the time. */
function cutWithin(
  demand: Demand,
  order: readonly PlacementCandidate[],
  limitMs: number,
): readonly LayerRange[] | null {
  const ranges: LayerRange[] = []
  let first = 0
  for (const [index, { freeBytes, benchmark }] of order.entries()) {
    const rest = order.length - 1 - index
    const speed = benchmark.weightBytesPerSecond
    if (rest === 0) {
      const range = { first, end: demand.layers }
      if (demand.roomOf(range) > freeBytes || demand.readTime(range, speed) > limitMs) return null
      ranges.push(range)
      continue
    }
    const end = demand.reach(first, freeBytes, (limitMs / 1000) * speed, demand.layers - rest)
    if (end <= first) return null
    ranges.push({ first, end })
    first = end
  }
  return ranges
}

const slowestStageMs = (
  demand: Demand,
  order: readonly PlacementCandidate[],
  cut: readonly LayerRange[],
): number =>
  cut.reduce(
    (slowest, range, index) =>
      Math.max(slowest, demand.readTime(range, order[index]!.benchmark.weightBytesPerSecond)),
    0,
  )
