import type { PlacementCandidate } from '@deos/domain'
import type { Demand } from './demand.ts'

/** Up to so many stages all orders are considered. */
const exactUpTo = 8

/**
 * Orders candidates so that together, each with at least one layer, they hold the whole model. Complete if fewer of
 * them cannot, and there are at most 8 or all layers are of one size; otherwise it may miss an order.
 *
 * @param candidates - most free memory first
 * @returns null if no order was found
 */
export function orderThatFits(
  demand: Demand,
  candidates: readonly PlacementCandidate[],
): readonly PlacementCandidate[] | null {
  const count = candidates.length
  if (count === 0 || count > demand.layers) return null
  if (candidates.reduce((sum, { freeBytes }) => sum + freeBytes, 0) < demand.roomBytes) return null
  return count <= exactUpTo ? bestOfAllOrders(demand, candidates) : likelyOrder(demand, candidates)
}

/** Whether the candidates in this order hold the whole model, each as much as it can. */
export function fitsInOrder(demand: Demand, order: readonly PlacementCandidate[]): boolean {
  let first = 0
  for (const [index, { freeBytes }] of order.entries()) {
    const rest = order.length - 1 - index
    if (rest === 0) return demand.roomOf({ first, end: demand.layers }) <= freeBytes
    const end = demand.reach(first, freeBytes, Number.POSITIVE_INFINITY, demand.layers - rest)
    if (end <= first) return false
    first = end
  }
  return false
}

/** For every set of candidates, how many layers they hold at most if they come first: getting further never harms. */
function bestOfAllOrders(
  demand: Demand,
  candidates: readonly PlacementCandidate[],
): readonly PlacementCandidate[] | null {
  const count = candidates.length
  const everybody = 2 ** count - 1
  const reached = new Int32Array(everybody + 1).fill(-1)
  const lastOf = new Int8Array(everybody + 1).fill(-1)
  reached[0] = 0
  for (let set = 0; set < everybody; set += 1) {
    const first = reached[set]!
    if (first < 0) continue
    for (let next = 0; next < count; next += 1) {
      const larger = set | (1 << next)
      if (larger === set) continue
      const end = stageEnd(demand, first, candidates[next]!.freeBytes, count - 1 - bitCount(set))
      if (end <= first || end <= reached[larger]!) continue
      reached[larger] = end
      lastOf[larger] = next
    }
  }
  if (reached[everybody] !== demand.layers) return null
  const order: PlacementCandidate[] = []
  for (let set = everybody; set !== 0; ) {
    const last = lastOf[set]!
    order.unshift(candidates[last]!)
    set &= ~(1 << last)
  }
  return order
}

/** Where a stage ends that leaves one layer for each of the `rest` after it; the last one ends at the end or nowhere. */
function stageEnd(demand: Demand, first: number, room: number, rest: number): number {
  if (rest > 0) return demand.reach(first, room, Number.POSITIVE_INFINITY, demand.layers - rest)
  return demand.roomOf({ first, end: demand.layers }) <= room ? demand.layers : first
}

function bitCount(set: number): number {
  let count = 0
  for (let rest = set; rest !== 0; rest &= rest - 1) count += 1
  return count
}

/**
 * With layers of one size only who is first and who is last matters: those who lose the fewest layers by also holding
 * the embedding or the head. Of three each, two are always left that differ.
 */
function likelyOrder(
  demand: Demand,
  candidates: readonly PlacementCandidate[],
): readonly PlacementCandidate[] | null {
  const { layers } = demand
  const middle = { first: Math.min(1, layers - 1), end: Math.max(1, layers - 1) }
  const layerRoom = demand.roomOf(middle) / Math.max(1, middle.end - middle.first)
  const embedding = demand.roomOf({ first: 0, end: 1 }) - layerRoom
  const head = demand.roomOf({ first: layers - 1, end: layers }) - layerRoom
  const leastLoss = (extra: number) =>
    candidates
      .map((candidate) => {
        const { freeBytes } = candidate
        return {
          candidate,
          loss: Math.floor(freeBytes / layerRoom) - Math.floor((freeBytes - extra) / layerRoom),
        }
      })
      .sort((a, b) => a.loss - b.loss)
      .slice(0, 3)
      .map(({ candidate }) => candidate)
  for (const first of leastLoss(embedding)) {
    for (const last of leastLoss(head)) {
      if (first === last) continue
      const between = candidates.filter((candidate) => candidate !== first && candidate !== last)
      const order = [first, ...between, last]
      if (fitsInOrder(demand, order)) return order
    }
  }
  return null
}
