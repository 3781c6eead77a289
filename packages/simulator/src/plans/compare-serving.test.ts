import {
  catalogue,
  findAccelerator,
  plainFleet,
  plainMachine,
  planServing,
  type ServingPlan,
  type ServingWorkload,
  shapeFromHuggingFace,
} from '@deos/planner'
import { expect, test } from 'vitest'
import { servingBaselines } from './compare-serving.ts'
import { playSteadily } from './play-steadily.ts'

const shape = shapeFromHuggingFace({
  model_type: 'llama',
  hidden_size: 4096,
  intermediate_size: 14336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  vocab_size: 128256,
  max_position_embeddings: 8192,
})
const workload: ServingWorkload = {
  requestsPerS: null,
  promptTokens: { mean: 400, p95: 800 },
  outputTokens: { mean: 800, p95: 1600 },
  trace: null,
  contextTokens: 4096,
  ttftMs: null,
  tpotMs: null,
  goal: 'throughput',
  precisions: ['fp16'],
  kvBytesPerElement: 2,
  roles: 'together',
  maxBatch: 256,
}
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
