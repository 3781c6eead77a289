import type { LinkLookup } from '../fleet.ts'
import { type PipelineStage, ServingPipeline } from './pipeline.ts'
import type { UnitCosts } from './unit-costs.ts'
import type { Unit } from './units.ts'
import type { ServingWorkload } from './workload.ts'

const rounds = 24
/** Batches at which stages are balanced: the larger, the more the prompt counts. */
const balancedAt = [1, 16, 128]
/** Sequences for which every stage has to keep room. */
const roomFor = [1, 8, 64]

/**
 * Pipelines of the given units in order, layers divided so that the slowest stage is as quick as memory lets it be, for
 * several batches and several rooms for KV. Units for which nothing is left are dropped.
 */
export function dividedPipelines(
  units: readonly Unit[],
  costsOf: (unit: Unit) => UnitCosts,
  workload: ServingWorkload,
  links: LinkLookup,
): readonly ServingPipeline[] {
  const costs = units.map(costsOf)
  const seen = new Set<string>()
  const pipelines: ServingPipeline[] = []
  for (const batch of balancedAt) {
    for (const sequences of roomFor) {
      const edges = divide(costs, batch, sequences)
      if (edges === null) continue
      const key = edges.join()
      if (seen.has(key)) continue
      seen.add(key)
      const stages = units.flatMap((unit, at): readonly PipelineStage[] => {
        const layers = { first: at === 0 ? 0 : edges[at - 1]!, end: edges[at]! }
        return layers.end > layers.first ? [{ unit, costs: costs[at]!, layers }] : []
      })
      pipelines.push(new ServingPipeline(stages, workload, links))
    }
  }
  return pipelines
}

/** Ends of stages, by bisection over the time of the slowest. */
function divide(costs: readonly UnitCosts[], batch: number, sequences: number): readonly number[] | null {
  const { layers } = costs[0]!
  const reaches = costs.map((unit) => unit.reach(batch, sequences))
  const within = (paceMs: number): readonly number[] | null => {
    const ends: number[] = []
    let first = 0
    for (const { memoryEnds, requestMs } of reaches) {
      const most = requestMs[first]! + paceMs
      let low = first
      let high = memoryEnds[first]!
      while (low < high) {
        const end = (low + high + 1) >> 1
        if (requestMs[end]! <= most) low = end
        else high = end - 1
      }
      ends.push(low)
      first = low
    }
    return first === layers ? ends : null
  }
  let best = within(Number.POSITIVE_INFINITY)
  if (best === null) return null
  let high = Math.max(...reaches.map(({ requestMs }) => requestMs[layers]!))
  let low = 0
  for (let round = 0; round < rounds && high - low > high * 1e-3; round += 1) {
    const middle = (low + high) / 2
    const ends = within(middle)
    if (ends === null) low = middle
    else {
      high = middle
      best = ends
    }
  }
  return best
}
