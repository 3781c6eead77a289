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
      const edges = divide(costs, workload, batch, sequences)
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
function divide(
  costs: readonly UnitCosts[],
  workload: ServingWorkload,
  batch: number,
  sequences: number,
): readonly number[] | null {
  const output = workload.outputTokens.mean
  const timeOf = (at: number, first: number, end: number) =>
    costs[at]!.prefillMs({ first, end }) + (output * costs[at]!.decodeMs({ first, end }, batch)) / batch
  const { layers } = costs[0]!
  const within = (paceMs: number): readonly number[] | null => {
    const ends: number[] = []
    let first = 0
    for (const [at, unit] of costs.entries()) {
      let low = first
      let high = layers
      while (low < high) {
        const end = Math.ceil((low + high) / 2)
        const range = { first, end }
        const free = unit.roomBytes - unit.weightBytes(range)
        const fits =
          free >= unit.kvBytesOfLongest(range) &&
          free >= sequences * unit.kvBytesPerSequence(range) &&
          unit.hostHolds(range)
        if (fits && timeOf(at, first, end) <= paceMs) low = end
        else high = end - 1
      }
      ends.push(low)
      first = low
    }
    return first === layers ? ends : null
  }
  let best = within(Number.POSITIVE_INFINITY)
  if (best === null) return null
  let high = Math.max(...costs.map((_, at) => timeOf(at, 0, layers)))
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
