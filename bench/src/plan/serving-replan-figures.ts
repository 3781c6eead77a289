import {
  type ComputeFleet,
  catalogue,
  findAccelerator,
  plainFleet,
  plainMachine,
  planServing,
  replanServing,
  type ServingPlan,
  type ServingWorkload,
  shapeFromHuggingFace,
} from '@deos/planner'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { servingFigure } from './serving-figure.ts'

const llama70b = {
  model_type: 'llama',
  hidden_size: 8192,
  intermediate_size: 28_672,
  num_hidden_layers: 80,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  vocab_size: 32_000,
  max_position_embeddings: 4096,
}
/** Mean lengths of the Azure conversation trace. */
const workload: ServingWorkload = {
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
const machines = 100
const sites = 3
const failures = { quick: 3, full: 10 }
const horizonS = 3600

/** A whole plan for 100 machines, of which one fails, each time another: time, and how good beside a plan from nothing. */
export function measureReplanning({ quick, progress }: PlanMeasurement): Measured {
  progress(`plans of ${machines} machines after a failure`)
  const shape = shapeFromHuggingFace(llama70b)
  const fleet = fleetOf()
  const plan = (of: ComputeFleet) => served(planServing(shape, of, workload))
  const previous = plan(fleet)
  const used = [
    ...new Set(
      previous.replicas.flatMap(({ stages }) =>
        stages.flatMap(({ accelerators }) => accelerators.map((each) => each.machine)),
      ),
    ),
  ]
  const count = quick ? failures.quick : failures.full
  const rows = Array.from({ length: count }, (_, at) => {
    const failed = used[Math.floor((at * used.length) / count)]!
    const left = { ...fleet, machines: fleet.machines.filter(({ name }) => name !== failed) }
    const startedMs = performance.now()
    const { fresh, kept, migration } = replanServing(shape, left, workload, previous, { horizonS })
    const ms = performance.now() - startedMs
    const planStartedMs = performance.now()
    const anew = plan(left).predicted.requestsPerS
    const planMs = performance.now() - planStartedMs
    return {
      failed,
      ms,
      planMs,
      kept: kept?.predicted.requestsPerS ?? 0,
      mended: served(fresh).predicted.requestsPerS,
      anew,
      movedGiB: (migration?.sizeBytes ?? 0) / 2 ** 30,
    }
  })
  return {
    figures: [
      servingFigure(
        'speed.replanServing',
        'ms',
        'lower',
        rows.map(({ ms }) => ms),
        200,
      ),
      servingFigure(
        'speed.replanServing.vsPlanning',
        'ratio',
        'higher',
        rows.map(({ mended, anew }) => mended / anew),
      ),
    ],
    raw: { replanning: rows },
  }
}

function fleetOf(): ComputeFleet {
  return plainFleet(
    Array.from({ length: machines }, (_, at) => {
      const kind = kinds[(at * 7 + (at >> 3)) % kinds.length]!
      const site = `s${at % sites}`
      return plainMachine(`m${at}`, findAccelerator(catalogue, kind), { site, region: site })
    }),
  )
}

function served(outcome: ServingPlan | { readonly kind: 'refused'; readonly binding: string }): ServingPlan {
  if (outcome.kind === 'refused') throw new Error(outcome.binding)
  return outcome
}
