import { describe, expect, test } from 'vitest'
import { SailorJudge, type SailorPlan, sailorTables, searchSailor } from './index.ts'
import fixture from './measured-plans.fixture.json' with { type: 'json' }
import { placeReplicas, shareStages } from './mixes.ts'

const zone = 'us-central1-a'
const transferPrices = { [zone]: { [zone]: 0 } }
const files = { ...fixture, transferPrices, prices: { 'GH-96': 11.06 }, memoryGiB: { 'GH-96': 96 } }
const tables = sailorTables(files)

function planOf({ starts, replicas, microbatch }: (typeof fixture.plans)[number]): SailorPlan {
  const replica = { accelerator: 'GH-96', zone, tensorParallel: 4 }
  return {
    microbatch,
    stages: starts.map((first, at) => ({
      first,
      end: starts[at + 1] ?? tables.layers,
      replicas: new Array(replicas).fill(replica),
    })),
  }
}

describe("Sailor's cost model", () => {
  test.each(fixture.plans)('$file takes as long as its authors find', (plan) => {
    const { iterationS, fits } = new SailorJudge(tables, plan.globalBatch).verdict(planOf(plan))
    expect(iterationS / plan.predictedS).toBeCloseTo(1, 9)
    expect(fits).toBe(true)
  })

  test('refuses plans with layers twice and degrees nobody measured', () => {
    const judge = new SailorJudge(tables, 32)
    const good = planOf(fixture.plans[3]!)
    const stage = good.stages[0]!
    expect(() => judge.verdict({ ...good, stages: [stage, stage] })).toThrow('stages')
    const replicas = stage.replicas.map((each) => ({ ...each, tensorParallel: 3 }))
    expect(() => judge.verdict({ ...good, stages: [{ ...stage, replicas }] })).toThrow('3-way')
  })

  test('says what a file lacks', () => {
    expect(() => sailorTables({ ...files, profiles: {} })).toThrow('profiles')
    const memory = { 1: { 0: { params_floats: 'many' } } }
    expect(() => sailorTables({ ...files, memory })).toThrow('memory.1.0')
  })
})

describe('the search', () => {
  const request = { tables, globalBatch: 128, goal: { kind: 'fastest' } } as const
  const find = (count: number) => searchSailor({ ...request, pools: [{ accelerator: 'GH-96', zone, count }] })

  test('finds plans at least as fast as those that were run, on as many accelerators, within memory', () => {
    for (const plan of fixture.plans) {
      const run = planOf(plan)
      const verdict = new SailorJudge(tables, plan.globalBatch).verdict(run)
      const found = searchSailor({
        ...request,
        globalBatch: plan.globalBatch,
        pools: [{ accelerator: 'GH-96', zone, count: verdict.accelerators }],
      })
      expect(found!.verdict.iterationS).toBeLessThanOrEqual(verdict.iterationS)
      expect(found!.verdict.accelerators).toBeLessThanOrEqual(verdict.accelerators)
      expect(found!.verdict.fits).toBe(true)
    }
  })

  test('more accelerators never make it slower', () => {
    const times = [4, 8, 12, 16, 32].map((count) => find(count)!.verdict.iterationS)
    expect(times).toEqual(times.toSorted((a, b) => b - a))
  })

  test('keeps its limits or finds nothing', () => {
    const pools = [{ accelerator: 'GH-96', zone, count: 16 }]
    const cheapest = searchSailor({ ...request, pools, goal: { kind: 'cheapest' } })!
    const fastest = searchSailor({
      ...request,
      pools,
      goal: { kind: 'fastest', mostUsd: cheapest.verdict.usd },
    })!
    expect(fastest.verdict.usd).toBeCloseTo(cheapest.verdict.usd, 9)
    expect(searchSailor({ ...request, pools, goal: { kind: 'fastest', mostUsd: 0 } })).toBeNull()
    expect(() => searchSailor({ ...request, pools: [{ accelerator: 'GH-96', zone, count: -1 }] })).toThrow(
      'pools[0].count',
    )
  })
})

test('kinds take the stages where others would need most', () => {
  const degrees = [
    [4, 2],
    [1, 1],
  ]
  expect(shareStages(degrees, [8, 4], 4)).toEqual([
    [0, 4],
    [4, 0],
  ])
  expect(shareStages(degrees, [8, 3], 4)).toBeNull()
})

test('zones are dealt in proportion or in turn', () => {
  const pools = ['east', 'west'].map((each) => ({ accelerator: 'x', zone: each, count: 4 }))
  const zones = (dealing: 'in proportion' | 'in turn') =>
    placeReplicas([[4, 4]], [[1, 1]], pools, dealing)!.map((stage) =>
      stage.map((each) => each.zone[0]).join(''),
    )
  expect(zones('in proportion')).toEqual(['eeww', 'eeww'])
  expect(zones('in turn')).toEqual(['eeee', 'wwww'])
})
