import {
  catalogue,
  findAccelerator,
  plainFleet,
  plainMachine,
  planServing,
  type ServingPlan,
} from '@deos/planner'
import { publishedShape, servingWorkload } from '@deos/planner/testing'
import { describe, expect, test } from 'vitest'
import { goodputOf } from './goodput.ts'

const shape = publishedShape('Llama-3-8B')
const workload = servingWorkload({
  promptTokens: { mean: 1000, p95: 1000 },
  outputTokens: { mean: 100, p95: 100 },
  ttftMs: 1000,
  tpotMs: 60,
})
const find = (name: string) => findAccelerator(catalogue, name)
const fleetAt = (gbps: number) =>
  plainFleet(
    [plainMachine('a', find('H100-SXM5-80GB')), plainMachine('b', find('A100-SXM4-80GB'), { site: 'other' })],
    { sameRegion: { delayMs: 1, bytesPerS: (gbps * 1e9) / 8 } },
  )
const targets = { ttftMs: 1000, tpotMs: 60, share: 0.9 }
const search = { seed: 1, requests: 300, chunkTokens: 512, targets, aroundPerS: 4 }

function planned(gbps: number, roles: 'together' | 'split'): ServingPlan {
  const outcome = planServing(shape, fleetAt(gbps), { ...workload, roles }, { steps: 50 })
  if (outcome.kind !== 'serve') throw new Error(outcome.binding)
  return outcome
}

const goodput = (plan: ServingPlan, gbps: number, change = {}) =>
  goodputOf(plan, { shape, fleet: fleetAt(gbps), workload }, { ...search, ...change })

describe('goodput', () => {
  const plan = planned(100, 'together')

  test('is the highest rate at which enough requests are in time', () => {
    const found = goodput(plan, 100)
    expect(found.attained).toBeGreaterThanOrEqual(0.9)
    expect(found.ttftMs.p50).toBeLessThanOrEqual(1000)
    expect(found.tpotMs.p50).toBeLessThanOrEqual(60)
    // One H100 alone needs 1000 · 16 GFLOP at half of 989 TFLOP/s for a prompt, and the A100 three times as long.
    expect(found.requestsPerS).toBeGreaterThan(10)
    expect(found.requestsPerS).toBeLessThan(1000 / (1000 / (989e12 / 2 / 16e9) / 1.32))
  })

  test('does not depend on where the search begins, but for its precision', () => {
    const low = goodput(plan, 100, { aroundPerS: 0.5 }).requestsPerS
    const high = goodput(plan, 100, { aroundPerS: 200 }).requestsPerS
    expect(low / high).toBeGreaterThan(0.95)
    expect(low / high).toBeLessThan(1.05)
  })

  test('is less with stricter targets, and none with impossible ones', () => {
    const strict = goodput(plan, 100, { targets: { ...targets, tpotMs: 20 } })
    expect(strict.requestsPerS).toBeLessThan(goodput(plan, 100).requestsPerS)
    expect(goodput(plan, 100, { targets: { ...targets, ttftMs: 1 } }).requestsPerS).toBe(0)
  })

  test('of a divided plan falls with the link that carries K and V', () => {
    const split = planned(100, 'split')
    const wide = goodput(split, 100)
    // A prompt's 131 MB take 1.05 s at 1 Gbit/s, so none is in time.
    expect(wide.requestsPerS).toBeGreaterThan(5)
    expect(goodput(split, 1).requestsPerS).toBe(0)
    expect(goodput(split, 2.5).requestsPerS).toBeLessThan(wide.requestsPerS / 2)
  })
})
