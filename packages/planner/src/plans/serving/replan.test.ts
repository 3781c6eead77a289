import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { catalogue, findAccelerator } from '../../devices/index.ts'
import { publishedShape, servingWorkload } from '../../testing/index.ts'
import { type FleetMachine, plainFleet, plainMachine } from '../fleet.ts'
import { planServing } from './plan-serving.ts'
import { replanServing } from './replan.ts'
import type { ServingPlan } from './serving-plan.ts'

const shape = publishedShape('Llama-3-8B')
const workload = servingWorkload({
  promptTokens: { mean: 500, p95: 1000 },
  contextTokens: 2048,
  ttftMs: 5000,
  tpotMs: 200,
  maxBatch: 64,
})
const quick = { steps: 60, horizonS: 3600 }
const machine = (name: string, accelerator: string, given: Partial<FleetMachine> = {}) =>
  plainMachine(name, findAccelerator(catalogue, accelerator), given)
const l4s = ['a', 'b', 'c', 'd'].map((name) => machine(name, 'L4'))

function planned(machines: readonly FleetMachine[]): ServingPlan {
  const outcome = planServing(shape, plainFleet(machines), workload, quick)
  if (outcome.kind !== 'serve') throw new Error(outcome.binding)
  return outcome
}

describe('replanServing()', () => {
  test('keeps everything where nothing has changed, and moves nothing', () => {
    const replan = replanServing(shape, plainFleet(l4s), workload, planned(l4s), quick)
    expect(replan.decision).toBe('keep')
    expect(replan.migration).toMatchObject({ sizeBytes: 0, seconds: 0 })
  })

  test('moves to a much better machine if it stays long enough for the weights to arrive', () => {
    const before = planned(l4s)
    const after = plainFleet([...l4s, machine('big', 'H100-SXM5-80GB')])
    const long = replanServing(shape, after, workload, before, quick)
    expect(long.decision).toBe('move')
    expect(long.migration!.machines.map(({ machine: name }) => name)).toContain('big')
    // 8.03e9 parameters of 2 bytes from a neighbour at 25 Gbit/s are 5.1 s.
    const own = long.migration!.machines.find(({ machine: name }) => name === 'big')!
    expect(own.sizeBytes / 16.06e9).toBeCloseTo(1, 1)
    expect(own.seconds).toBeCloseTo(own.sizeBytes / 3.125e9, 6)
    const short = replanServing(shape, after, workload, before, { ...quick, horizonS: 2 })
    expect(short.decision).toBe('keep')
    expect(short.plan).toEqual(short.kept)
    expect(short.breakEvenS).toBeGreaterThan(2)
  })

  test('after a loss says what has to move', () => {
    const h100 = machine('big', 'H100-SXM5-80GB')
    const before = planned([h100])
    const replan = replanServing(shape, plainFleet(l4s), workload, before, quick)
    expect(replan.kept).toBeNull()
    expect(replan.decision).toBe('move')
    expect(replan.migration!.fromOutsideBytes).toBe(replan.migration!.sizeBytes)
  })

  test('with more machines it is never worse', () => {
    const drawn = fc.record({
      accelerator: fc.constantFrom('L4', 'T4', 'A100-SXM4-40GB', 'RTX 4090'),
      accelerators: fc.constantFrom(1, 2),
      site: fc.constantFrom('x', 'y'),
    })
    fc.assert(
      fc.property(fc.array(drawn, { minLength: 1, maxLength: 5 }), drawn, (given, extra) => {
        const machines = [...given, extra].map(({ accelerator, accelerators, site }, at) =>
          machine(`m${at}`, accelerator, { accelerators, site, region: site }),
        )
        const before = planServing(shape, plainFleet(machines.slice(0, -1)), workload, quick)
        if (before.kind !== 'serve') return
        const horizonS = Number.POSITIVE_INFINITY
        const { plan } = replanServing(shape, plainFleet(machines), workload, before, { ...quick, horizonS })
        if (plan.kind !== 'serve') throw new Error(plan.binding)
        expect(plan.predicted.requestsPerS).toBeGreaterThanOrEqual(before.predicted.requestsPerS * (1 - 1e-2))
      }),
      { numRuns: 12 },
    )
  })

  test('after a loss is no worse than what is left, and nearly as good as a plan from nothing', () => {
    const kinds = ['L4', 'T4', 'A100-SXM4-40GB', 'RTX 4090']
    const drawn = fc.array(fc.record({ kind: fc.constantFrom(...kinds), site: fc.constantFrom('x', 'y') }), {
      minLength: 4,
      maxLength: 9,
    })
    fc.assert(
      fc.property(drawn, fc.nat(), (given, drawnAt) => {
        const machines = given.map(({ kind, site }, at) => machine(`m${at}`, kind, { site, region: site }))
        const before = planServing(shape, plainFleet(machines), workload, quick)
        if (before.kind !== 'serve') return
        const lost = drawnAt % machines.length
        const left = plainFleet(machines.filter((_, at) => at !== lost))
        const horizonS = Number.POSITIVE_INFINITY
        const { plan, kept } = replanServing(shape, left, workload, before, { ...quick, horizonS })
        const anew = planServing(shape, left, workload, quick)
        if (plan.kind !== 'serve') {
          expect(anew.kind).toBe('refused')
          return
        }
        expect(plan.predicted.requestsPerS).toBeGreaterThanOrEqual(
          (kept?.predicted.requestsPerS ?? 0) * (1 - 1e-9),
        )
        if (anew.kind !== 'serve') return
        expect(plan.predicted.requestsPerS).toBeGreaterThanOrEqual(anew.predicted.requestsPerS * 0.9)
        const names = plan.replicas.flatMap(({ stages }) =>
          stages.flatMap(({ accelerators }) => accelerators.map((each) => `${each.machine}/${each.slot}`)),
        )
        expect(new Set(names).size).toBe(names.length)
        expect(names.some((name) => name.startsWith(`m${lost}/`))).toBe(false)
        for (const { stages } of plan.replicas) {
          expect(stages.map(({ layers }) => layers.first)).toEqual([
            0,
            ...stages.slice(0, -1).map(({ layers }) => layers.end),
          ])
          expect(stages.at(-1)!.layers.end).toBe(32)
        }
      }),
      { numRuns: 15, seed: 11 },
    )
  })
})
