import { type Accelerator, keyOfAccelerator } from '../../devices/index.ts'
import type { ModelShape } from '../../models/index.ts'
import type { ComputeFleet } from '../fleet.ts'
import { tensorDegrees } from '../tensor-parallel.ts'
import { freeLink, RateBound } from './rate-bound.ts'
import { UnitCosts } from './unit-costs.ts'
import { precisions, type ServingWorkload, type WeightPrecision } from './workload.ts'

/** What no plan exceeds under the same cost model, in the goal's unit. */
export interface ServingBound {
  /** Requests/s (more is better), USD an hour or ms of a request (less is better). */
  readonly value: number
  readonly because: string
}

/** Degrees beyond those of any group. */
const largestDegree = 16

/**
 * Throughput and cost: see {@link RateBound}, in the best of the precisions. Latency: a lone request, each layer of it on
 * the quickest accelerators, more of them than a group has where there are more, with links that cost nothing.
 */
export function servingBound(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
): ServingBound {
  const allowed = workload.precisions.filter((each) => each in precisions)
  if (workload.goal === 'latency') {
    const value = Math.min(...allowed.map((precision) => loneRequestMs(shape, fleet, workload, precision)))
    return { value, because: 'a lone request on the quickest accelerators, with links that cost nothing' }
  }
  const bounds = allowed.map((precision) => new RateBound(shape, fleet, workload, precision))
  if (workload.goal === 'throughput') {
    return {
      value: Math.max(...bounds.map((bound) => bound.requestsPerS())),
      because: 'all accelerators as busy as may be planned, on full batches, with links that cost nothing',
    }
  }
  return {
    value: Math.min(...bounds.map((bound) => bound.pricePerHour(workload.requestsPerS!))),
    because:
      'the cheapest accelerators by the fraction, as busy as may be planned, with links that cost nothing',
  }
}

function loneRequestMs(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  precision: WeightPrecision,
): number {
  const counts = new Map<string, { readonly accelerator: Accelerator; count: number }>()
  for (const { accelerator, accelerators } of fleet.machines) {
    const key = keyOfAccelerator(accelerator)
    counts.set(key, { accelerator, count: (counts.get(key)?.count ?? 0) + accelerators })
  }
  const kinds = [...counts.values()].flatMap(({ accelerator, count }) => {
    const degree = Math.min(largestDegree, count)
    const tensorParallel = tensorDegrees(shape, degree).at(-1)!
    const kind = { accelerator, tensorParallel, link: freeLink }
    return [kind, { ...kind, contextParallel: degree }]
  })
  const costs = kinds.map((kind) => new UnitCosts(shape, kind, precision, workload, fleet.efficiency))
  let totalMs = 0
  for (let first = 0; first < shape.layers; first += 1) {
    const range = { first, end: first + 1 }
    totalMs += Math.min(...costs.map((each) => each.prefillMs(range)))
    totalMs += workload.outputTokens.mean * Math.min(...costs.map((each) => each.decodeMs(range, 1)))
  }
  return totalMs
}

/** Share that is missing to the bound: 0 is proven best. */
export function gapTo(bound: number, reached: number, goal: ServingWorkload['goal']): number {
  const share = goal === 'throughput' ? reached / bound : bound / reached
  if (!Number.isFinite(share)) return 0
  const gap = 1 - share
  return Math.abs(gap) < roundingError ? 0 : gap
}

const roundingError = 1e-9
