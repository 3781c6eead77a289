import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { catalogue, findAccelerator } from '../../devices/index.ts'
import { expertParameters, parameterCounts } from '../../models/index.ts'
import { publishedShape, servingWorkload } from '../../testing/index.ts'
import { type FleetMachine, LinkLookup, plainFleet, plainMachine } from '../fleet.ts'
import { planServing, servingCandidates } from './plan-serving.ts'
import type { ServingOutcome, ServingPlan } from './serving-plan.ts'
import { UnitCosts } from './unit-costs.ts'
import { tensorOnly, type UnitLayout, unitKind } from './units.ts'

const mixtral = publishedShape('Mixtral-8x7B')
const llama8b = publishedShape('Llama-3-8B')
const llama70b = publishedShape('Llama-3-70B')
const deepseek = publishedShape('DeepSeek-V3')
const workload = servingWorkload({
  promptTokens: { mean: 1000, p95: 2000 },
  outputTokens: { mean: 200, p95: 400 },
  maxBatch: 512,
})
const find = (name: string) => findAccelerator(catalogue, name)
const machine = (accelerator: string, given: Partial<FleetMachine> = {}): FleetMachine =>
  plainMachine(accelerator, find(accelerator), given)

function costsOf(
  shape: typeof mixtral,
  layout: Partial<UnitLayout>,
  { accelerator = 'H100-SXM5-80GB', hostMemoryGiB = 0, asked = workload } = {},
): UnitCosts {
  const fleet = plainFleet([machine(accelerator, { accelerators: 8, hostMemoryGiB })])
  const kind = unitKind([{ machine: fleet.machines[0]! }], new LinkLookup(fleet), {
    ...tensorOnly(1),
    ...layout,
  })
  return new UnitCosts(shape, kind, 'fp16', asked, fleet.efficiency)
}

function planned(outcome: ServingOutcome): ServingPlan {
  if (outcome.kind === 'serve') return outcome
  throw new Error(outcome.binding)
}

const all = { first: 0, end: 32 }

describe('divided experts', () => {
  test('leave each member its share of them and all else', () => {
    const routed = [...Array(32).keys()].reduce((sum, layer) => sum + expertParameters(mixtral, layer), 0)
    // 8 experts of three matrices in 32 layers: 45.1e9 of the 46.7e9 parameters.
    expect(routed).toBe(32 * 8 * 3 * 4096 * 14336)
    const others = parameterCounts(mixtral).total - routed
    expect(costsOf(mixtral, { expert: 4 }).weightBytes(all)).toBeCloseTo((others + routed / 4) * 2, -3)
  })

  test('make room for so many times the sequences, of which none is divided', () => {
    const [one, four] = [costsOf(mixtral, {}), costsOf(mixtral, { expert: 4 })]
    expect(four.kvBytesPerSequence(all) * 4).toBeCloseTo(one.kvBytesPerSequence(all), 0)
    expect(four.kvBytesOfLongest(all)).toBe(one.kvBytesOfLongest(all))
  })

  test('take less than the quarter of the weights and more than a quarter of the time', () => {
    // A step of 64 reaches all 8 experts; the members read 2 each, and 1.6e9 other parameters.
    const one = costsOf(mixtral, {}).decodeMs(all, 64)
    const four = costsOf(mixtral, { expert: 4 }).decodeMs(all, 64)
    expect(four).toBeGreaterThan(one / 4)
    expect(four).toBeLessThan(one / 2)
  })

  test('win where latent K and V cannot be divided by heads', () => {
    const fleet = plainFleet(
      ['a', 'b'].map((name) =>
        plainMachine(name, find('H200-SXM-141GB'), { accelerators: 8, pricePerHour: 40 }),
      ),
    )
    const asked = { ...workload, precisions: ['fp8' as const], tpotMs: 50 }
    const plans = servingCandidates(deepseek, fleet, asked, { steps: 0 })
    const most = (key: 'expertParallel' | 'tensorParallel', { replicas }: ServingPlan) =>
      Math.max(...replicas.flatMap(({ stages }) => stages.map((stage) => stage[key])))
    const matrices = plans.find((plan) => most('expertParallel', plan) === 1)!
    expect(most('expertParallel', plans[0]!)).toBe(8)
    expect(plans[0]!.predicted.requestsPerS / matrices.predicted.requestsPerS).toBeGreaterThan(1.2)
  })
})

describe('divided positions', () => {
  const long = { ...workload, promptTokens: { mean: 30_000, p95: 32_000 }, contextTokens: 33_000 }

  test('keep all weights on every member, and part of K and V', () => {
    const [one, four] = [
      costsOf(llama8b, {}, { asked: long }),
      costsOf(llama8b, { context: 4 }, { asked: long }),
    ]
    expect(four.weightBytes(all)).toBe(one.weightBytes(all))
    expect(four.kvBytesOfLongest(all) * 4).toBeCloseTo(one.kvBytesOfLongest(all), 0)
  })

  test('make long prompts nearly so many times quicker, and never more than that', () => {
    const one = costsOf(llama8b, {}, { asked: long }).prefillMs(all)
    for (const context of [2, 4, 8]) {
      const many = costsOf(llama8b, { context }, { asked: long }).prefillMs(all)
      expect(many).toBeGreaterThanOrEqual(one / context)
      expect(many).toBeLessThan((one / context) * 1.5)
    }
  })

  test('are chosen where a first token is wanted sooner than matrices over slow links allow', () => {
    const fleet = plainFleet(
      ['a', 'b', 'c', 'd'].map((name) => plainMachine(name, find('A100-SXM4-80GB'))),
      { sameSite: { delayMs: 0.5, bytesPerS: 12.5e9 } },
    )
    const asked = { ...long, goal: 'latency' as const, outputTokens: { mean: 2, p95: 2 } }
    const plan = planned(planServing(llama8b, fleet, asked, { steps: 20 }))
    expect(plan.replicas[0]!.stages[0]!.contextParallel).toBe(4)
  })

  test('are not tried for short prompts', () => {
    const fleet = plainFleet([machine('A100-SXM4-80GB', { accelerators: 8 })])
    const plans = servingCandidates(llama8b, fleet, workload, { steps: 0 })
    for (const { replicas } of plans) {
      for (const { stages } of replicas) {
        for (const { contextParallel } of stages) expect(contextParallel).toBe(1)
      }
    }
  })
})

describe('weights with the host', () => {
  test('take at least their time on its link', () => {
    const costs = costsOf(llama8b, { offload: 0.5 }, { accelerator: 'RTX 4090', hostMemoryGiB: 512 })
    const { bytesPerS } = costs.kind.offload!
    // 32 GB/s of PCIe 4, of which four fifths are reached; half of 7.5e9 parameters without the table.
    const streamMs = ((7.5e9 * 2 * 0.5) / bytesPerS) * 1000
    expect(bytesPerS).toBe(find('RTX 4090').hostLinkGBs! * 1e9 * 0.8)
    expect(costs.decodeMs(all, 1)).toBeGreaterThan(streamMs * 0.99)
    expect(costs.decodeMs(all, 1)).toBeLessThan(streamMs * 1.1)
    // A long prompt computes for longer than that, and hides it.
    const own = costsOf(llama8b, {}, { accelerator: 'RTX 4090' }).prefillMs(all)
    expect(own).toBeLessThan(streamMs)
    expect(costs.prefillMs(all)).toBeGreaterThanOrEqual(streamMs * 0.99)
  })

  test('are chosen if there is no other way, and said', () => {
    const small = machine('RTX 4090', { accelerators: 2 })
    expect(planServing(llama70b, plainFleet([small]), workload, { steps: 20 }).kind).toBe('refused')
    const plan = planned(
      planServing(llama70b, plainFleet([{ ...small, hostMemoryGiB: 256 }]), workload, { steps: 20 }),
    )
    const stages = plan.replicas.flatMap((replica) => replica.stages)
    expect(stages.some(({ offload }) => offload !== null)).toBe(true)
    expect(plan.notes.join(' ')).toMatch(/GiB of weights lie in host memory/)
    const hostBytes = stages.reduce(
      (sum, { offload, accelerators }) => sum + (offload?.hostBytes ?? 0) * accelerators.length,
      0,
    )
    expect(hostBytes).toBeLessThanOrEqual(256 * 2 ** 30 * 0.8)
  })

  test('are not chosen where everything fits', () => {
    const roomy = machine('H100-SXM5-80GB', { hostMemoryGiB: 2000 })
    const plan = planned(planServing(llama8b, plainFleet([roomy]), workload, { steps: 20 }))
    expect(plan.replicas[0]!.stages[0]!.offload).toBeNull()
  })

  test('do not fit a host that is too small', () => {
    const small = machine('RTX 4090', { accelerators: 2, hostMemoryGiB: 64 })
    expect(planServing(llama70b, plainFleet([small]), workload, { steps: 20 }).kind).toBe('refused')
  })
})

describe('any divided plan', () => {
  test('keeps within both memories, covers every layer once and uses no accelerator twice', () => {
    const fleets = fc
      .array(
        fc.record({
          accelerator: fc.constantFrom('RTX 4090', 'L40S', 'A100-SXM4-80GB'),
          accelerators: fc.constantFrom(2, 4, 8),
          hostMemoryGiB: fc.constantFrom(0, 128, 512),
        }),
        { minLength: 1, maxLength: 3 },
      )
      .map((drawn) =>
        plainFleet(
          drawn.map(({ accelerator, ...given }, at) => plainMachine(`m${at}`, find(accelerator), given)),
        ),
      )
    fc.assert(
      fc.property(fleets, fc.boolean(), (fleet, long) => {
        const promptTokens = long ? { mean: 8000, p95: 16_000 } : workload.promptTokens
        const asked = { ...workload, promptTokens, contextTokens: 20_000, roles: 'either' as const }
        for (const plan of servingCandidates(mixtral, fleet, asked, { steps: 10 }).slice(0, 12)) {
          const used = new Set<string>()
          const hostBytes = new Map<string, number>()
          for (const { stages } of plan.replicas) {
            let next = 0
            for (const stage of stages) {
              expect(stage.layers.first).toBe(next)
              next = stage.layers.end
              expect(stage.weightBytes + stage.kvBytes).toBeLessThanOrEqual(stage.memoryBytes)
              const { tensorParallel, expertParallel, contextParallel, accelerators } = stage
              expect(tensorParallel * expertParallel * contextParallel).toBe(accelerators.length)
              for (const { machine: name, slot } of accelerators) {
                expect(used.has(`${name}/${slot}`)).toBe(false)
                used.add(`${name}/${slot}`)
                hostBytes.set(name, (hostBytes.get(name) ?? 0) + (stage.offload?.hostBytes ?? 0))
              }
            }
            expect(next).toBe(32)
          }
          for (const [name, sizeBytes] of hostBytes) {
            const { hostMemoryGiB = 0 } = fleet.machines.find((each) => each.name === name)!
            expect(sizeBytes).toBeLessThanOrEqual(hostMemoryGiB * 2 ** 30)
          }
          expect(plan.bound.gap).toBeGreaterThanOrEqual(0)
        }
      }),
      { numRuns: 6 },
    )
  })
})
