import type { PlacementCandidate } from '@deos/domain'
import type { Demand } from './demand.ts'
import { byRoom, type Eligible } from './eligible.ts'
import { orderThatFits } from './order-that-fits.ts'

/** Candidates that hold the model in as few stages as possible, in an order that fits. */
export interface FewestStages {
  readonly order: readonly PlacementCandidate[]
  /** Whether some of them should have been avoided. */
  readonly sharing: boolean
}

/**
 * The fewest candidates that hold the model; those to be avoided only if the others cannot at all, and then as few of
 * those as do in that number of stages.
 *
 * If any n candidates fit then so do the n with most room: whoever takes the place of one with less fits there too.
 */
export function fewestStages(demand: Demand, { fresh, avoided }: Eligible): FewestStages | null {
  const alone = fewestOf(demand, fresh)
  if (alone) return { order: alone, sharing: false }
  if (avoided.length === 0) return null
  const mixed = fewestOf(demand, [...fresh, ...avoided].sort(byRoom))
  if (!mixed) return null
  for (let shared = 1; shared < mixed.length; shared += 1) {
    const some = [...fresh.slice(0, mixed.length - shared), ...avoided.slice(0, shared)]
    const order = some.length === mixed.length ? orderThatFits(demand, some.sort(byRoom)) : null
    if (order) return { order, sharing: true }
  }
  return { order: mixed, sharing: true }
}

function fewestOf(
  demand: Demand,
  candidates: readonly PlacementCandidate[],
): readonly PlacementCandidate[] | null {
  let runs = 0
  const most = Math.min(candidates.length, demand.layers)
  for (let count = 1; count <= most; count += 1) {
    runs += demand.longestRun(candidates[count - 1]!.freeBytes)
    if (runs < demand.layers) continue
    const order = orderThatFits(demand, candidates.slice(0, count))
    if (order) return order
  }
  return null
}
