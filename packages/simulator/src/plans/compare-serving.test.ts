import {
  catalogue,
  findAccelerator,
  plainFleet,
  plainMachine,
  planServing,
  type ServingPlan,
} from '@deos/planner'
import { publishedShape, servingWorkload } from '@deos/planner/testing'
import { expect, test } from 'vitest'
import { servingBaselines } from './compare-serving.ts'
import { playSteadily } from './play-steadily.ts'

const shape = publishedShape('Llama-3-8B')
const workload = servingWorkload({
  promptTokens: { mean: 400, p95: 800 },
  outputTokens: { mean: 800, p95: 1600 },
})
const budget = { least: 240, mostEvents: 500_000 }

test('where there is nothing to choose, all methods serve the same, answers of many steps too', () => {
  const fleet = plainFleet([plainMachine('a', findAccelerator(catalogue, 'H100-SXM5-80GB'))])
  const setting = { shape, fleet, workload }
  const judge = (plan: ServingPlan, requestsPerS: number) =>
    playSteadily(plan, setting, { ...budget, seed: 1, requestsPerS })
  const plan = planServing(shape, fleet, workload, { steps: 0, judge })
  if (plan.kind !== 'serve') throw new Error(plan.binding)
  const baselines = servingBaselines(setting, { seed: 1, least: budget.least, evaluations: 100 })
  expect(baselines.map(({ name }) => name)).toContain('Petals')
  for (const { goodputPerS } of baselines) {
    expect(goodputPerS / plan.simulatedMost!.goodputPerS).toBeGreaterThan(0.8)
    expect(goodputPerS / plan.simulatedMost!.goodputPerS).toBeLessThan(1.1)
  }
})
