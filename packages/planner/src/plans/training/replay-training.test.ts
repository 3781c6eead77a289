import { describe, expect, test } from 'vitest'
import { catalogue, findAccelerator } from '../../devices/index.ts'
import { shapeFromHuggingFace } from '../../models/index.ts'
import { plainFleet, plainMachine } from '../fleet.ts'
import type { TrainingJob } from './job.ts'
import { planTrainingRun } from './plan-training-run.ts'
import { replayTraining } from './replay-training.ts'

const shape = shapeFromHuggingFace({
  model_type: 'gpt2',
  n_embd: 1024,
  n_layer: 8,
  n_head: 16,
  vocab_size: 8192,
  n_positions: 1024,
})
const a100 = findAccelerator(catalogue, 'A100-SXM4-80GB')
const fleetOf = (gbps: number) =>
  plainFleet(
    ['a', 'b', 'c', 'd'].map((name, at) =>
      plainMachine(name, a100, { accelerators: 2, site: `${at % 2}`, region: `${at % 2}` }),
    ),
    { elsewhere: { delayMs: 1, bytesPerS: (gbps * 1e9) / 8 } },
  )
const job: TrainingJob = {
  globalBatch: 256,
  sequenceTokens: 1024,
  microbatches: [1],
  optimiser: 'adam',
  precision: 'fp16',
  goal: 'throughput',
  mostLocalSteps: 1,
  tokens: null,
  stepS: null,
}
const fleet = fleetOf(100)
const plan = planTrainingRun(shape, fleet, job)
if (plan.kind !== 'train') throw new Error(plan.binding)

describe('a plan played again', () => {
  test('takes as long as it said, stage by stage', () => {
    const played = replayTraining(plan, { shape, fleet, job })
    expect(played.stepS).toBeCloseTo(plan.predicted.stepS, 12)
    expect(played.stages.map(({ computeS }) => computeS)).toEqual(plan.stages.map(({ computeS }) => computeS))
    expect(played.fits).toBe(true)
  })

  test('takes longer over slower links and with a larger batch', () => {
    const played = replayTraining(plan, { shape, fleet: fleetOf(0.01), job })
    expect(played.stepS).toBeGreaterThan(plan.predicted.stepS)
    const larger = replayTraining(plan, { shape, fleet, job: { ...job, globalBatch: 512 } })
    expect(larger.stepS).toBeGreaterThan(plan.predicted.stepS)
  })

  test('is refused where fleet, model and plan do not belong together', () => {
    const [first, ...rest] = plan.stages
    const strange = {
      ...first!,
      replicas: first!.replicas.map((each) => each.map((one) => ({ ...one, machine: 'z' }))),
    }
    expect(() => replayTraining({ ...plan, stages: [strange, ...rest] }, { shape, fleet, job })).toThrow(
      '"z"',
    )
    const slots = {
      ...first!,
      replicas: first!.replicas.map((each) => each.map((one) => ({ ...one, slot: 9 }))),
    }
    expect(() => replayTraining({ ...plan, stages: [slots, ...rest] }, { shape, fleet, job })).toThrow(
      'slot is 9',
    )
    expect(() => replayTraining(plan, { shape: { ...shape, layers: 9 }, fleet, job })).toThrow('8 layers')
    const degrees = { ...plan.degrees, tensor: 16 }
    expect(() => replayTraining({ ...plan, degrees }, { shape, fleet, job })).toThrow('replicas[0] is')
    expect(() =>
      replayTraining({ ...plan, stages: [first!, ...plan.stages] }, { shape, fleet, job }),
    ).toThrow('layers')
  })
})
