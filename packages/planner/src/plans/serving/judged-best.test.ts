import { describe, expect, test } from 'vitest'
import { catalogue, findAccelerator } from '../../devices/index.ts'
import { publishedShape, servingWorkload } from '../../testing/index.ts'
import { plainFleet, plainMachine } from '../fleet.ts'
import type { ServingJudge } from './judged-best.ts'
import { planServing } from './plan-serving.ts'
import type { ServingPlan, SimulatedServing } from './serving-plan.ts'
import type { ServingWorkload } from './workload.ts'

const shape = publishedShape('Llama-3-8B')
const workload = servingWorkload({ precisions: ['fp16', 'q8'] })
const machine = (name: string) => plainMachine(name, findAccelerator(catalogue, 'L40S'))
const fleet = plainFleet(['a', 'b', 'c'].map(machine))

function planned(judge: ServingJudge, change: Partial<ServingWorkload> = {}, machines = fleet): ServingPlan {
  const outcome = planServing(shape, machines, { ...workload, ...change }, { steps: 0, judge })
  if (outcome.kind === 'refused') throw new Error(outcome.binding)
  return outcome
}

/** A simulation that serves so much and takes so long. */
const simulated = (requestsPerS: number, goodputPerS = requestsPerS, tpotMs = 10): SimulatedServing => ({
  requestsPerS,
  goodputPerS,
  tokensPerS: 100 * requestsPerS,
  ttftMs: { mean: 50, p50: 50, p99: 50 },
  tpotMs: { mean: tpotMs, p50: tpotMs, p99: tpotMs },
  busy: [],
  kvPeak: [],
  finished: 1,
  events: 1,
})
const obliging: ServingJudge = (_, rate) => simulated(rate)
/** Nothing to choose. */
const only = (judge: ServingJudge) => planned(judge, { precisions: ['q8'] }, plainFleet([machine('a')]))
const promise = only(obliging).predicted.requestsPerS

describe('plans for throughput', () => {
  const bearing =
    (most: number): ServingJudge =>
    (_, rate) =>
      simulated(rate, rate <= most ? rate : 0)

  test('promise less where the simulation bears less', () => {
    const { predicted, simulated: beside, simulatedMost, notes } = only(bearing(0.8 * promise))
    expect(predicted.requestsPerS / promise).toBeCloseTo(0.88 ** 2, 3)
    expect(simulatedMost).toEqual(beside)
    expect(notes.join()).not.toMatch(/simulation does not meet/)
  })

  test('that promise less say so where the mean misses its target there, too', () => {
    const one = plainFleet([machine('a')])
    const asked = { precisions: ['q8'], tpotMs: 1000 } as const
    const { requestsPerS } = planned(obliging, asked, one).predicted
    const slow: ServingJudge = (_, rate) => simulated(rate, rate <= 0.8 * requestsPerS ? rate : 0, 2000)
    const { predicted, notes } = planned(slow, asked, one)
    expect(predicted.requestsPerS).toBeLessThan(requestsPerS)
    expect(notes.join()).toMatch(/simulation does not meet/)
  })

  test('promise no more where it bears more, and say how much', () => {
    const { predicted, simulated: beside, simulatedMost } = only(bearing(1.3 * promise))
    expect(predicted.requestsPerS).toBe(promise)
    expect(beside!.requestsPerS).toBe(promise)
    expect(simulatedMost!.requestsPerS / promise).toBeCloseTo(0.88 ** -2, 6)
  })

  test('are compared by goodput, not by what is predicted of them', () => {
    const { precision } = planned(obliging)
    const other = planned((plan, rate) =>
      simulated(rate, plan.precision === precision ? rate / 10 : rate / 2),
    )
    expect(other.precision).not.toBe(precision)
    expect(other.rejected[0]!.why).toMatch(/^simulated .* requests\/s within the targets$/)
  })

  test('are told what was played of them before', () => {
    const seen: [number, number | null][] = []
    planned((_, rate, before) => {
      seen.push([rate, before?.requestsPerS ?? null])
      return simulated(rate)
    })
    const again = seen.filter(([, before]) => before !== null)
    expect(again.length).toBeGreaterThan(0)
    for (const [rate, before] of again) expect(rate).toBeGreaterThan(before!)
  })

  test('are played until there is no time left, one at least', () => {
    let plays = 0
    const judge: ServingJudge = (_, rate) => {
      plays += 1
      return simulated(rate)
    }
    const outcome = planServing(shape, fleet, workload, { steps: 0, judge, shouldStop: () => plays > 0 })
    expect(outcome.kind === 'serve' && outcome.simulatedMost).toBeTruthy()
    expect(plays).toBe(1)
  })
})

describe('plans for the least cost or latency', () => {
  test('that miss their targets are chosen only where all do, and say so', () => {
    const asked = { goal: 'latency', tpotMs: 1000 } as const
    const first = planned((_, rate) => simulated(rate, rate, 10), asked)
    const second = planned(
      (plan, rate) => simulated(rate, rate, plan.precision === first.precision ? 2000 : 900),
      asked,
    )
    expect(second.precision).not.toBe(first.precision)
    expect(second.simulatedMost).toBeNull()
    const none = planned((_, rate) => simulated(rate, rate, 2000), asked)
    expect(none.notes.join()).toMatch(/simulation does not meet/)
  })

  test('that are cheap and do what is asked are not played beside dearer ones', () => {
    let plays = 0
    const judge: ServingJudge = (_, rate) => {
      plays += 1
      return simulated(rate)
    }
    planned(judge, { goal: 'cost', requestsPerS: 0.2 })
    expect(plays).toBe(1)
  })
})
