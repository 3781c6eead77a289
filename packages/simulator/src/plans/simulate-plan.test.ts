import { seededRandom } from '@deos/domain'
import {
  catalogue,
  findAccelerator,
  plainFleet,
  plainMachine,
  planServing,
  type ServingPlan,
  type ServingWorkload,
} from '@deos/planner'
import { publishedShape, servingWorkload } from '@deos/planner/testing'
import { describe, expect, test } from 'vitest'
import { drawLength, drawRequests } from './draw-requests.ts'
import { judgingBy } from './judging.ts'
import { usualChunkTokens } from './plan-fleet.ts'
import { playSteadily } from './play-steadily.ts'
import { simulatePlan } from './simulate-plan.ts'
import { steadyRequests } from './steady-requests.ts'

const shape = publishedShape('Llama-3-8B')
const workload = servingWorkload({ ttftMs: 4000, tpotMs: 150 })
const find = (name: string) => findAccelerator(catalogue, name)
const fleet = plainFleet([
  ...['a', 'b'].map((name) => plainMachine(name, find('A100-SXM4-80GB'))),
  ...['c', 'd', 'e'].map((name) => plainMachine(name, find('L4'), { site: 'other' })),
])

function planned(change: Partial<ServingWorkload> = {}): ServingPlan {
  const outcome = planServing(shape, fleet, { ...workload, ...change }, { steps: 100 })
  if (outcome.kind !== 'serve') throw new Error(outcome.binding)
  return outcome
}

const played = (plan: ServingPlan, share: number, seed = 1) =>
  simulatePlan(
    plan,
    { shape, fleet, workload },
    { requestsPerS: plan.predicted.requestsPerS * share, seed, requests: 600 },
  )

describe('a plan that is played', () => {
  test('while a machine is lost its requests go on elsewhere or wait, and take longer', () => {
    const plan = planned()
    const machine = plan.replicas[0]!.stages[0]!.accelerators[0]!.machine
    const setting = { shape, fleet, workload }
    const run = { requestsPerS: plan.predicted.requestsPerS * 0.5, seed: 1, requests: 300 }
    const whole = simulatePlan(plan, setting, run)
    const lastsMs = (1000 * run.requests) / run.requestsPerS
    const faults = [{ machine, atMs: 0.5 * lastsMs, forMs: 0.3 * lastsMs }]
    const faulty = simulatePlan(plan, setting, { ...run, faults })
    expect(whole.faults).toBeUndefined()
    expect(faulty.finished).toBe(300)
    expect(faulty.faults!.restarted).toBeGreaterThan(0)
    expect(faulty.faults!.unanswered).toBe(0)
    expect(faulty.tpotMs.mean).toBeGreaterThan(whole.tpotMs.mean)
    expect(() =>
      simulatePlan(plan, setting, { ...run, faults: [{ ...faults[0]!, machine: 'nobody' }] }),
    ).toThrow(/faults\[0\]\.machine/)
  })

  test('carries half of what it was predicted to bear, nearly as quickly as predicted', () => {
    const half = planned()
    const rate = half.predicted.requestsPerS / 2
    const plan = planned({ goal: 'latency', requestsPerS: rate })
    const { requestsPerS, tpotMs, ttftMs } = played(plan, 1)
    expect(requestsPerS / rate).toBeGreaterThan(0.9)
    expect(requestsPerS / rate).toBeLessThan(1.1)
    expect(tpotMs.mean / plan.predicted.tpotMs).toBeGreaterThan(0.7)
    expect(tpotMs.mean / plan.predicted.tpotMs).toBeLessThan(1.4)
    expect(ttftMs.mean / plan.predicted.ttftMs).toBeGreaterThan(0.6)
    expect(ttftMs.mean / plan.predicted.ttftMs).toBeLessThan(1.6)
  })

  // 38 sequences' tokens took longer over the accelerator's own bus than a machine waits for them.
  test('of one accelerator steps all its sequences together, however slow its link to others is', () => {
    const inside = { delayMs: 0, bytesPerS: 1e6 }
    const alone = plainFleet([plainMachine('a', find('A100-SXM4-80GB'), { inside })])
    const plan = planServing(shape, alone, { ...workload, tpotMs: 60 }, { steps: 0 })
    if (plan.kind !== 'serve') throw new Error(plan.binding)
    const run = { requestsPerS: plan.predicted.requestsPerS * 0.6, seed: 1, requests: 600 }
    const quick = plainFleet([plainMachine('a', find('A100-SXM4-80GB'))])
    expect(simulatePlan(plan, { shape, fleet: alone, workload }, run)).toEqual(
      simulatePlan(plan, { shape, fleet: quick, workload }, run),
    )
  })

  test('with as many requests as a steady state takes serves what comes, however long answers are', () => {
    const long = { ...workload, outputTokens: { mean: 1000, p95: 1000 }, tpotMs: null, ttftMs: null }
    const plan = planServing(shape, fleet, long, { steps: 0 })
    if (plan.kind !== 'serve') throw new Error(plan.binding)
    const requestsPerS = plan.predicted.requestsPerS * 0.7
    const of = (requests: number) =>
      simulatePlan(plan, { shape, fleet, workload: long }, { requestsPerS, seed: 1, requests })
    const requests = steadyRequests(plan, long, requestsPerS, { least: 240, mostEvents: 1e7 })
    expect(requests).toBeGreaterThan(240)
    expect(of(requests).requestsPerS / requestsPerS).toBeGreaterThan(0.95)
    expect(of(240).requestsPerS / requestsPerS).toBeLessThan(0.95)
    expect(steadyRequests(plan, long, requestsPerS, { least: 240, mostEvents: 1 })).toBe(240)
  })

  test('stands for the whole where a part of its replicas is played', () => {
    const many = plainFleet(
      Array.from({ length: 24 }, (_, at) => plainMachine(`a${at}`, find(at < 8 ? 'A100-SXM4-80GB' : 'L4'))),
    )
    const plan = planServing(shape, many, workload, { steps: 0 })
    if (plan.kind !== 'serve') throw new Error(plan.binding)
    const setting = { shape, fleet: many, workload }
    const [whole, part] = [1e9, 2e4].map((mostEvents) =>
      playSteadily(plan, setting, { least: 300, mostEvents, seed: 1 }),
    )
    expect(part!.busy.length).toBeLessThan(whole!.busy.length / 2)
    expect(part!.requestsPerS / whole!.requestsPerS).toBeGreaterThan(0.9)
    expect(part!.requestsPerS / whole!.requestsPerS).toBeLessThan(1.1)
    expect(whole!.requestsPerS / plan.predicted.requestsPerS).toBeGreaterThan(0.9)
  })

  test.each(['together', 'split'] as const)(
    'from the middle of its work serves what it does from the beginning on, prompts and answers %s',
    (roles) => {
      const long = { ...workload, roles, outputTokens: { mean: 400, p95: 800 } }
      const setting = { shape, fleet, workload: long }
      const plan = planServing(shape, fleet, long, { steps: 0 })
      if (plan.kind !== 'serve') throw new Error(plan.binding)
      const requestsPerS = plan.predicted.requestsPerS * 0.8
      const requests = steadyRequests(plan, long, requestsPerS, { least: 1, mostEvents: 1e9 })
      const whole = simulatePlan(plan, setting, {
        requestsPerS,
        seed: 1,
        requests,
        chunkTokens: usualChunkTokens,
      })
      const steady = playSteadily(plan, setting, { least: 300, mostEvents: 1e9, seed: 1, requestsPerS })
      expect(steady.requestsPerS / whole.requestsPerS).toBeGreaterThan(0.93)
      expect(steady.requestsPerS / whole.requestsPerS).toBeLessThan(1.07)
      expect(steady.tpotMs.mean / whole.tpotMs.mean).toBeGreaterThan(0.8)
      expect(steady.tpotMs.mean / whole.tpotMs.mean).toBeLessThan(1.25)
    },
  )

  test('answers no more than has room, however many are said to be under way', () => {
    const plan = planned()
    const setting = { shape, fleet, workload }
    const before = { ...played(plan, 1), tpotMs: { mean: 5000, p50: 5000, p99: 5000 } }
    const { kvPeak } = playSteadily(plan, setting, { least: 50, mostEvents: 1e9, seed: 1, before })
    for (const share of kvPeak) expect(share).toBeLessThanOrEqual(1)
  })

  test('repeats itself, and not with another seed', () => {
    const plan = planned()
    expect(played(plan, 0.5)).toEqual(played(plan, 0.5))
    expect(played(plan, 0.5, 2)).not.toEqual(played(plan, 0.5))
  })

  test('with prompts apart computes prompts on some machines and answers on others', () => {
    const plan = planned({ roles: 'split' })
    const { requestsPerS, tpotMs } = played(plan, 0.5)
    expect(requestsPerS / plan.predicted.requestsPerS / 0.5).toBeGreaterThan(0.85)
    expect(tpotMs.mean).toBeLessThan(workload.tpotMs!)
  })

  test('decides among plans, at the rate where most is within the targets', () => {
    const setting = { shape, fleet, workload }
    const outcome = planServing(shape, fleet, workload, { steps: 100, ...judgingBy(setting, { seed: 1 }) })
    if (outcome.kind !== 'serve') throw new Error(outcome.binding)
    const { simulated, simulatedMost, predicted } = outcome
    expect(simulatedMost!.goodputPerS).toBeGreaterThanOrEqual(simulated!.goodputPerS)
    expect(simulatedMost!.goodputPerS).toBeGreaterThan(0.8 * predicted.requestsPerS)
    expect(simulatedMost!.goodputPerS).toBeLessThanOrEqual(simulatedMost!.requestsPerS)
  })

  test('refuses machines that are not there', () => {
    const plan = planned()
    const other = plainFleet([plainMachine('x', find('L4'))])
    const run = { requestsPerS: 1, seed: 1, requests: 10 }
    expect(() => simulatePlan(plan, { shape, fleet: other, workload }, run)).toThrow(/^plan is [a-e]\.$/)
  })
})

describe('drawn requests', () => {
  test('have the mean and the 95th percentile that were asked for', () => {
    const random = seededRandom(3)
    const lengths = Array.from({ length: 20_000 }, () => drawLength({ mean: 500, p95: 1200 }, random)).sort(
      (a, b) => a - b,
    )
    expect(lengths.reduce((sum, each) => sum + each, 0) / lengths.length / 500).toBeCloseTo(1, 1)
    expect(lengths[19_000]! / 1200).toBeCloseTo(1, 1)
  })

  test('of a trace keep its order and come at the rate', () => {
    const trace = [0, 10, 1000].map((atMs, at) => ({ atMs, promptTokens: at + 1, outputTokens: 1 }))
    const drawn = drawRequests({ ...workload, trace }, 2, 6, seededRandom(1))
    expect(drawn.map(({ promptTokens }) => promptTokens)).toEqual([1, 2, 3, 1, 2, 3])
    expect(drawn.map(({ atMs }) => atMs)).toEqual([0, 10, 1000, 1500, 1510, 2500])
  })
})
