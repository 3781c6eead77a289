import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { playSailorPlan, type SailorPlan, sailorTables } from './index.ts'
import { lockstepS } from './lockstep.ts'
import fixture from './measured-plans.fixture.json' with { type: 'json' }

const alike = (count: number, forwardS: number, backwardS: number) =>
  Array.from({ length: count }, () => ({ forwardS, backwardS }))

describe('stages in lockstep', () => {
  test.each([
    [1, 8],
    [2, 8],
    [4, 8],
    [7, 3],
  ])('%i alike ones take (m + p - 1) passes for %i microbatches, as in Narayanan et al. 2021', (count, m) => {
    const hopS = new Array<number>(count - 1).fill(0)
    expect(lockstepS({ microbatches: m, stages: alike(count, 1, 2), hopS })).toBe((m + count - 1) * 3)
  })

  test('two stages and one microbatch: there, both passes, and back', () => {
    expect(lockstepS({ microbatches: 1, stages: alike(2, 1, 2), hopS: [0.5] })).toBe(1 + 0.5 + 3 + 0.5 + 2)
  })

  test('end, and never before the busiest stage with the messages that it waits for', () => {
    const seconds = fc.double({ min: 0.001, max: 10, noNaN: true })
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.record({ forwardS: seconds, backwardS: seconds, hop: seconds }), {
          minLength: 1,
          maxLength: 6,
        }),
        (microbatches, drawn) => {
          const hopS = drawn.slice(1).map(({ hop }) => hop)
          const took = lockstepS({ microbatches, stages: drawn, hopS })
          for (const [at, { forwardS, backwardS }] of drawn.entries()) {
            const messages = 2 * ((hopS[at - 1] ?? 0) + (hopS[at] ?? 0))
            expect(took).toBeGreaterThanOrEqual(microbatches * (forwardS + backwardS + messages) - 1e-9)
          }
        },
      ),
    )
  })
})

describe('plans that were run', () => {
  const zone = 'us-central1-a'
  const transferPrices = { [zone]: { [zone]: 0 } }
  const tables = sailorTables({
    ...fixture,
    transferPrices,
    prices: { 'GH-96': 11.06 },
    memoryGiB: { 'GH-96': 96 },
  })
  const planOf = ({ starts, replicas, microbatch }: (typeof fixture.plans)[number]): SailorPlan => ({
    microbatch,
    stages: starts.map((first, at) => ({
      first,
      end: starts[at + 1] ?? tables.layers,
      replicas: new Array(replicas).fill({ accelerator: 'GH-96', zone, tensorParallel: 4 }),
    })),
  })

  test('one stage without replicas: all microbatches and the optimiser in every layer', () => {
    const plan = fixture.plans.find(({ starts, replicas }) => starts.length === 1 && replicas === 1)!
    const { iterationS, updateS, gradientS } = playSailorPlan(tables, plan.globalBatch, planOf(plan))
    const times = tables.times.get('GH-96')!.get(plan.microbatch)!.get(4)!
    const passes = plan.globalBatch / plan.microbatch
    expect(gradientS).toBe(0)
    expect(updateS).toBeCloseTo(26 * times.updateS[0]!, 9)
    expect(iterationS).toBeCloseTo(passes * times.passesS[26]! + updateS, 9)
  })

  test('take what the parts take', () => {
    for (const plan of fixture.plans) {
      const { iterationS, pipelineS, gradientS, updateS } = playSailorPlan(
        tables,
        plan.globalBatch,
        planOf(plan),
      )
      expect(iterationS).toBeCloseTo(pipelineS + gradientS + updateS, 9)
      expect(iterationS / plan.predictedS).toBeGreaterThan(0.9)
      expect(iterationS / plan.predictedS).toBeLessThan(1.2)
    }
  })

  test('are refused with layers twice', () => {
    const { microbatch, stages } = planOf(fixture.plans[0]!)
    expect(() => playSailorPlan(tables, 32, { microbatch, stages: [stages[0]!, stages[0]!] })).toThrow(
      'stages',
    )
  })
})
