import type { ModelShape } from '../../models/index.ts'
import { type ComputeFleet, insideLinkOf } from '../fleet.ts'
import { tensorDegrees } from '../tensor-parallel.ts'
import { UnitCosts } from './unit-costs.ts'
import { precisions, type ServingWorkload } from './workload.ts'

/** What no plan exceeds under the same cost model, in the goal's unit. */
export interface ServingBound {
  /** Requests/s (more is better), USD an hour or ms of a request (less is better). */
  readonly value: number
  readonly because: string
}

/**
 * Throughput: every accelerator works all the time on the largest batch, and nothing is lost to links, memory or waiting.
 * Cost: the cheapest of such accelerators by the fraction. Latency: a lone request on the quickest accelerators, as
 * many as heads can be divided among, without communication.
 */
export function servingBound(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
): ServingBound {
  const offers = new Map<string, { perS: number; pricePerHour: number; count: number; latencyMs: number }>()
  for (const machine of fleet.machines) {
    const { accelerator, accelerators, pricePerHour } = machine
    const key = JSON.stringify([accelerator.name, accelerator.memoryGiB, pricePerHour / accelerators])
    const known = offers.get(key)
    if (known !== undefined) known.count += accelerators
    else {
      const each = best(shape, fleet, workload, accelerator)
      offers.set(key, { ...each, pricePerHour: pricePerHour / accelerators, count: accelerators })
    }
  }
  const all = [...offers.values()]
  const throughput = all.reduce((sum, { perS, count }) => sum + perS * count, 0)
  if (workload.goal === 'latency') {
    const value = Math.min(...all.map(({ latencyMs }) => latencyMs))
    return { value, because: 'a lone request on the quickest accelerators, with links that cost nothing' }
  }
  if (workload.goal === 'throughput') {
    return {
      value: throughput,
      because: 'all accelerators busy on full batches, with links that cost nothing',
    }
  }
  let left = workload.requestsPerS!
  let value = 0
  const ranked = all.sort((a, b) => a.pricePerHour / a.perS - b.pricePerHour / b.perS)
  for (const { perS, pricePerHour, count } of ranked) {
    const used = Math.min(count, left / perS)
    value += used * pricePerHour
    left -= used * perS
    if (left <= 0) break
  }
  return {
    value,
    because: 'the cheapest accelerators by the fraction, all busy, with links that cost nothing',
  }
}

function best(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  accelerator: ComputeFleet['machines'][number]['accelerator'],
): { readonly perS: number; readonly latencyMs: number } {
  const all = { first: 0, end: shape.layers }
  const output = workload.outputTokens.mean
  let perS = 0
  let latencyMs = Number.POSITIVE_INFINITY
  const degree = tensorDegrees(shape, 16).at(-1)!
  for (const precision of workload.precisions.filter((each) => each in precisions)) {
    const kind = { accelerator, tensorParallel: 1, link: insideLinkOf(accelerator) }
    const costs = new UnitCosts(shape, kind, precision, workload, fleet.efficiency)
    for (const batch of costs.batches) {
      const requestMs = costs.prefillMs(all) + (output * costs.decodeMs(all, batch)) / batch
      perS = Math.max(perS, 1000 / requestMs)
    }
    const free = {
      ...kind,
      tensorParallel: degree,
      link: { delayMs: 0, bytesPerS: Number.POSITIVE_INFINITY },
    }
    const divided = new UnitCosts(shape, free, precision, workload, fleet.efficiency)
    latencyMs = Math.min(latencyMs, divided.prefillMs(all) + output * divided.decodeMs(all, 1))
  }
  return { perS, latencyMs }
}

/** Share that is missing to the bound: 0 is proven best. */
export function gapTo(bound: number, reached: number, goal: ServingWorkload['goal']): number {
  const share = goal === 'throughput' ? reached / bound : bound / reached
  return Number.isFinite(share) ? Math.max(0, 1 - share) : 0
}
