import { plainFleet, plainMachine, planServing, shapeOfConfig } from '@deos/planner'
import { servingWorkload } from '@deos/planner/testing'
import { expect, test } from 'vitest'
import { documentSchema } from '../plan/plan-document.ts'
import { smallModel } from '../testing/small-model.ts'
import { checkCoverage, parsePlan, rankCount } from './plan-file.ts'
import { checkModel } from './served-plan.ts'

const model = shapeOfConfig(smallModel)
const accelerator = {
  ...{ name: 'card', vendor: 'test', memoryGiB: 1, memoryGBs: 2, fp32Tflops: 0.1, fp16Tflops: 0.1 },
  ...{ fp8Tflops: null, int8Tops: null, peerLinkGBs: 50, hostLinkGBs: null, powerW: null },
  ...{ source: 'test', note: '' },
}
const fleet = plainFleet([
  plainMachine('two cards', accelerator, { accelerators: 2 }),
  plainMachine('other', { ...accelerator, name: 'other card' }),
])
const workload = servingWorkload({
  promptTokens: { mean: 100, p95: 100 },
  outputTokens: { mean: 60, p95: 60 },
  contextTokens: 160,
  precisions: ['q8'],
  kvBytesPerElement: 34 / 32,
  maxBatch: 4,
})
const plan = planServing(model, fleet, workload)
const document = { schema: documentSchema, kind: 'serve', model, fleet, workload, plan, planningMs: 1 }
const parse = (value: object, replica: number | null = 0) =>
  parsePlan(JSON.stringify(value), 'plan.json', replica)

test('of each accelerator of a replica becomes one rank', () => {
  if (plan.kind !== 'serve') throw new Error('The fleet is large enough.')
  for (const [at, replica] of plan.replicas.entries()) {
    const { stages, ...settings } = parse(document, at)[0]!
    expect(() => checkCoverage(stages, model.layers)).not.toThrow()
    expect(stages.map(({ layers }) => layers)).toEqual(replica.stages.map(({ layers }) => layers))
    for (const [stage, { split, workers }] of stages.entries()) {
      const { accelerators } = replica.stages[stage]!
      expect(rankCount(split)).toBe(accelerators.length)
      expect(workers).toEqual(accelerators.map(({ machine, slot }) => `${machine.replace(' ', '-')}.${slot}`))
    }
    expect(settings).toMatchObject({ weightType: 'Q8_0', kvType: 'Q8_0', contextLength: 160 })
    expect(settings.maxSessions).toBe(replica.batch * replica.stages.length)
    expect(() => checkModel(settings.model!, smallModel)).not.toThrow()
    expect(() => checkModel({ ...settings.model!, kvHeads: 77 }, smallModel)).toThrow('kvHeads 77')
  }
})

const replica = { role: 'together', batch: 1, stages: [{ layers: { first: 0, end: 8 } }] }
const stage = { layers: { first: 0, end: 8 }, tensorParallel: 1, accelerators: [{ machine: 'a', slot: 0 }] }
const withReplicas = (...replicas: readonly object[]) => ({
  ...document,
  plan: { precision: 'q8', replicas },
})
const good = { ...replica, stages: [stage] }

test('degrees that a stage names are those of its ranks', () => {
  const accelerators = Array.from({ length: 8 }, (_, slot) => ({ machine: 'a', slot }))
  const degrees = { tensorParallel: 2, expertParallel: 2, contextParallel: 2, accelerators }
  const { stages } = parse(withReplicas({ ...good, stages: [{ ...stage, ...degrees }] }))[0]!
  expect(stages[0]!.split).toEqual({ tensor: 2, experts: 2, context: 2 })
  expect(stages[0]!.workers).toHaveLength(8)
})

test('without a choice all replicas are rings', () => {
  expect(parse(withReplicas(good, good), null)).toHaveLength(2)
  expect(parse(withReplicas(good, good), 1)).toHaveLength(1)
})

test.each([
  [{ ...document, schema: 'deos.plan.v0' }, null, 'schema'],
  [{ ...document, kind: 'refused' }, null, 'kind: is not a plan for serving'],
  [{ ...document, model: { ...model, layers: 0 } }, null, 'model.layers'],
  [withReplicas(), null, 'plan.replicas'],
  [withReplicas(replica), null, 'plan.replicas[0].stages[0].tensorParallel'],
  [
    withReplicas({ ...replica, stages: [{ ...stage, tensorParallel: 2 }] }),
    null,
    'another number of accelerators',
  ],
  [withReplicas({ ...replica, stages: [{ ...stage, layers: { first: 3, end: 3 } }] }), null, 'has no layers'],
  [withReplicas(good, good), 2, 'there is no replica 2'],
  [withReplicas({ ...good, role: 'decode' }), null, 'computed by different replicas'],
  [{ ...document, plan: { precision: 'fp8', replicas: [good] } }, null, 'fp8'],
])('%# is refused', (value, chosen, problem) => {
  expect(() => parse(value, chosen)).toThrow(problem)
})
