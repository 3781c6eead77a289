import {
  catalogue,
  findAccelerator,
  plainFleet,
  plainMachine,
  planServing,
  type ServingWorkload,
  shapeFromHuggingFace,
} from '@deos/planner'
import { expect, test } from 'vitest'
import { alikeReplicas, andAlike } from './alike-replicas.ts'

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

test('of many replicas each kind is shown, with answers beside prompts', () => {
  const names = Array.from({ length: 12 }, (_, at) => (at < 8 ? 'A100-SXM4-80GB' : 'L40S'))
  const fleet = plainFleet(names.map((name, at) => plainMachine(`m${at}`, findAccelerator(catalogue, name))))
  const workload: ServingWorkload = {
    requestsPerS: null,
    trace: null,
    contextTokens: 4096,
    ttftMs: null,
    tpotMs: null,
    promptTokens: { mean: 800, p95: 1600 },
    outputTokens: { mean: 100, p95: 200 },
    goal: 'throughput',
    precisions: ['fp16'],
    kvBytesPerElement: 2,
    roles: 'split',
    maxBatch: 256,
  }
  const plan = planServing(shape, fleet, workload, { steps: 0 })
  if (plan.kind !== 'serve') throw new Error(plan.binding)
  const kinds = alikeReplicas(plan.replicas)
  expect(kinds.reduce((sum, { count }) => sum + count, 0)).toBe(plan.replicas.length)
  expect(kinds.length).toBeLessThan(plan.replicas.length)
  expect(new Set(kinds.slice(0, 2).map(({ replica }) => replica.role))).toEqual(
    new Set(['prefill', 'decode']),
  )
  for (const { replica, at } of kinds) expect(plan.replicas[at]).toBe(replica)
  expect(andAlike({ ...kinds[0]!, count: 3 })).toBe(' and 2 alike')
})
