import {
  type ComputeFleet,
  catalogue,
  findAccelerator,
  plainFleet,
  plainMachine,
  type ServingOutcome,
  type ServingPlan,
  type ServingWorkload,
  shapeFromHuggingFace,
} from '@deos/planner'

export const llama70b = shapeFromHuggingFace({
  model_type: 'llama',
  hidden_size: 8192,
  intermediate_size: 28_672,
  num_hidden_layers: 80,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  vocab_size: 32_000,
  max_position_embeddings: 4096,
})
/** Mean lengths of the Azure conversation trace. */
export const chat: ServingWorkload = {
  requestsPerS: null,
  promptTokens: { mean: 763, p95: 1500 },
  outputTokens: { mean: 232, p95: 500 },
  trace: null,
  contextTokens: 4096,
  ttftMs: 8000,
  tpotMs: 400,
  goal: 'throughput',
  precisions: ['fp16'],
  kvBytesPerElement: 2,
  roles: 'together',
  maxBatch: 128,
}

const kinds = ['A100-SXM4-80GB', 'L40S', 'RTX 4090', 'L4', 'H100-SXM5-80GB']
const sites = 3

/** So many machines with one accelerator each, of all kinds, in three regions. */
export const mixedFleet = (machines: number): ComputeFleet =>
  plainFleet(
    Array.from({ length: machines }, (_, at) => {
      const kind = kinds[(at * 7 + (at >> 3)) % kinds.length]!
      const site = `s${at % sites}`
      return plainMachine(`m${at}`, findAccelerator(catalogue, kind), { site, region: site })
    }),
  )

export function served(outcome: ServingOutcome): ServingPlan {
  if (outcome.kind === 'refused') throw new Error(outcome.binding)
  return outcome
}
