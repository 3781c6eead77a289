import type { FleetSnapshot, Placement, PlacementRequest } from '@deos/domain'
import type { Demand } from '../../demand.ts'
import { LinkTimes, unmeasuredBytesPerSecond } from '../../link-times.ts'

/** Weights that travel before a placement serves. */
export interface MigrationPrice {
  readonly sizeBytes: number
  /** Until the last machine has what it lacks. */
  readonly seconds: number
}

/**
 * What a placement has to fetch: each machine over its best link from one that was in the ring before; what none of them
 * has comes from one place that serves all who ask, over a link that nobody measured.
 */
export function migrationPrice(
  { held = [], model }: PlacementRequest,
  { stages }: Placement,
  { candidates, links }: FleetSnapshot,
  demand: Demand,
): MigrationPrice {
  const times = new LinkTimes(links, model.boundaryBytes)
  const there = new Map(candidates.map((candidate) => [candidate.machine, candidate]))
  let sizeBytes = 0
  let seconds = 0
  let outsideBytes = 0
  for (const { machine, layers } of stages) {
    let missing = 0
    let slowest = Number.POSITIVE_INFINITY
    for (let first = layers.first; first < layers.end; first += 1) {
      const holders = held.filter((each) => each.layers.first <= first && first < each.layers.end)
      if (holders.some((each) => each.machine === machine)) continue
      const size = demand.weightsOf({ first, end: first + 1 })
      missing += size
      const rates = holders.flatMap((each) => {
        const [from, to] = [there.get(each.machine), there.get(machine)]
        const link = from === undefined || to === undefined ? undefined : times.between(from, to)
        return link === undefined ? [] : [link.bytesPerSecond]
      })
      if (rates.length === 0) outsideBytes += size
      slowest = Math.min(slowest, Math.max(unmeasuredBytesPerSecond, ...rates))
    }
    sizeBytes += missing
    if (missing > 0) seconds = Math.max(seconds, missing / slowest)
  }
  return { sizeBytes, seconds: Math.max(seconds, outsideBytes / unmeasuredBytesPerSecond) }
}
