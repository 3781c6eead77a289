import { describe, expect, test } from 'vitest'
import { catalogue, findAccelerator } from '../../devices/index.ts'
import { shapeFromHuggingFace } from '../../models/index.ts'
import { type FleetMachine, plainFleet, plainMachine } from '../fleet.ts'
import type { TrainingJob } from './job.ts'
import { planTrainingRun } from './plan-training-run.ts'
import type { TrainingOutcome, TrainingRunPlan } from './training-plan.ts'

const shape = shapeFromHuggingFace(
  { model_type: 'gpt2', n_embd: 2048, n_layer: 24, n_head: 16, vocab_size: 50257, n_positions: 2048 },
  'GPT-3 XL',
)
const mixtral = shapeFromHuggingFace({
  model_type: 'mixtral',
  hidden_size: 2048,
  intermediate_size: 4096,
  num_hidden_layers: 16,
  num_attention_heads: 16,
  num_key_value_heads: 8,
  num_local_experts: 8,
  num_experts_per_tok: 2,
  vocab_size: 32000,
  max_position_embeddings: 32768,
})
const job: TrainingJob = {
  globalBatch: 64,
  sequenceTokens: 2048,
  microbatches: [1, 2],
  optimiser: 'adam',
  precision: 'fp16',
  goal: 'throughput',
  mostLocalSteps: 1,
  tokens: 1e9,
  stepS: null,
}
const find = (name: string) => findAccelerator(catalogue, name)
const many = (count: number, name: string, given: Partial<FleetMachine> = {}): readonly FleetMachine[] =>
  Array.from({ length: count }, (_, at) =>
    plainMachine(`${name}-${given.region ?? 'r'}-${at}`, find(name), { pricePerHour: 2, ...given }),
  )
const planning = { placementSteps: 60, polishSteps: 20, thorough: 1 }

function planned(outcome: TrainingOutcome): TrainingRunPlan {
  if (outcome.kind === 'train') return outcome
  throw new Error(`${outcome.binding} ${outcome.fixes.map(({ change }) => change).join(' ')}`)
}

describe('a training plan', () => {
  const together = plainFleet(many(2, 'A100-SXM4-80GB', { accelerators: 4 }))

  test('covers every layer once with every accelerator of it once, in memory', () => {
    const plan = planned(planTrainingRun(shape, together, job, planning))
    expect(plan.stages.map(({ layers }) => layers.first)).toEqual([
      0,
      ...plan.stages.slice(0, -1).map(({ layers }) => layers.end),
    ])
    expect(plan.stages.at(-1)!.layers.end).toBe(24)
    const rows = plan.stages.slice(0, plan.degrees.pipeline).flatMap(({ replicas }) => replicas.flat())
    expect(new Set(rows.map(({ machine, slot }) => `${machine}/${slot}`)).size).toBe(rows.length)
    const { data, pipeline, tensor, context, expert } = plan.degrees
    expect(rows.length).toBe(data * pipeline * tensor * context * expert)
    for (const stage of plan.stages) expect(stage.memoryBytes).toBeLessThanOrEqual(stage.capacityBytes)
    expect(plan.bound.gap).toBeGreaterThanOrEqual(0)
    expect(plan.predicted.modelFlopsUtilisation).toBeGreaterThan(0.1)
    expect(plan.predicted.modelFlopsUtilisation).toBeLessThanOrEqual(0.5)
    expect(plan.run!.hours).toBeCloseTo(1e9 / plan.predicted.tokensPerS / 3600, 9)
  })

  test('trains replicas where an ocean lies between machines, not stages by tensor parallelism', () => {
    const fleet = plainFleet([
      ...many(1, 'A100-SXM4-80GB', { accelerators: 4, region: 'us', site: 'us' }),
      ...many(1, 'A100-SXM4-80GB', { accelerators: 4, region: 'eu', site: 'eu' }),
    ])
    const plan = planned(planTrainingRun(shape, fleet, job, planning))
    for (const { replicas } of plan.stages) {
      for (const group of replicas) expect(new Set(group.map(({ machine }) => machine)).size).toBe(1)
    }
  })

  test('trains apart only where that is allowed, and says what it is', () => {
    const fleet = plainFleet([
      ...many(2, 'A100-SXM4-80GB', { region: 'us', site: 'us' }),
      ...many(2, 'A100-SXM4-80GB', { region: 'eu', site: 'eu' }),
    ])
    const exact = planned(planTrainingRun(shape, fleet, job, planning))
    const local = planned(planTrainingRun(shape, fleet, { ...job, mostLocalSteps: 100 }, planning))
    expect(exact.stepsPerExchange).toBe(1)
    expect(local.stepsPerExchange).toBe(100)
    expect(local.predicted.stepS).toBeLessThan(exact.predicted.stepS)
    expect(local.notes[0]).toMatch(/local SGD, not the training asked for with a batch of 64/)
  })

  test('divides states among replicas where they do not fit otherwise', () => {
    // 1.3e9 parameters of 16 bytes are 21 GB; each of these has 16.
    const fleet = plainFleet(many(1, 'T4', { accelerators: 8, inside: { delayMs: 0.01, bytesPerS: 1e9 } }))
    const plan = planned(planTrainingRun(shape, fleet, job, planning))
    expect(plan.degrees.pipeline * plan.degrees.tensor > 1 || plan.zeroStage > 0).toBe(true)
  })

  test('may divide experts and long sequences', () => {
    const fleet = plainFleet(many(1, 'H100-SXM5-80GB', { accelerators: 8 }))
    const long = { ...job, globalBatch: 4, sequenceTokens: 32768, microbatches: [1] }
    const plan = planned(planTrainingRun(mixtral, fleet, long, planning))
    const { tensor, context, expert, data, pipeline } = plan.degrees
    expect(tensor * context * expert).toBeGreaterThan(1)
    expect(data * pipeline * tensor * context * expert).toBe(8)
  })

  test('does not depend on the order of machines', () => {
    const turned = { ...together, machines: [...together.machines].reverse() }
    expect(planTrainingRun(shape, turned, job, planning)).toEqual(
      planTrainingRun(shape, together, job, planning),
    )
  })

  test('for least money leaves dear machines out', () => {
    const fleet = plainFleet([
      ...many(1, 'A100-SXM4-80GB', { accelerators: 4, pricePerHour: 4 }),
      ...many(1, 'H100-SXM5-80GB', { accelerators: 4, pricePerHour: 400 }),
    ])
    const plan = planned(planTrainingRun(shape, fleet, { ...job, goal: 'cost' }, planning))
    expect(plan.unused.map(({ machine }) => machine)).toEqual(['H100-SXM5-80GB-r-0'])
  })
})

describe('no training plan', () => {
  test('names memory and what would do', () => {
    const outcome = planTrainingRun(shape, plainFleet(many(1, 'T4')), job, planning)
    if (outcome.kind !== 'refused') throw new Error('It fits.')
    expect(outcome.binding).toMatch(/^Memory: .* the fleet offers 16 GiB\.$/)
    expect(outcome.fixes.some(({ change }) => change.startsWith('Add '))).toBe(true)
  })

  test('names time and what would do', () => {
    const outcome = planTrainingRun(
      shape,
      plainFleet(many(1, 'H100-SXM5-80GB')),
      { ...job, stepS: 0.001 },
      planning,
    )
    if (outcome.kind !== 'refused') throw new Error('It fits.')
    expect(outcome.binding).toMatch(/^Time: the quickest step takes .* s; 0.001 s are asked for\.$/)
    expect(outcome.fixes.some(({ change }) => change.startsWith('Accept steps of'))).toBe(true)
  })
})
