import type { NumberFormat } from '../../devices/index.ts'
import { PlanInputError } from '../errors.ts'

/** How weights are held. Everything but `fp32` and `fp16` changes what the model says, a little. */
export type WeightPrecision = 'fp32' | 'fp16' | 'fp8' | 'q8' | 'q4'

export interface PrecisionFacts {
  readonly weightBytes: number
  /** In which products are computed: blocks of integers are widened first. */
  readonly format: NumberFormat
}

/** Bytes of a weight with the scales of its block, as GGUF's Q8_0 and Q4_0 have them. */
export const precisions: Readonly<Record<WeightPrecision, PrecisionFacts>> = {
  fp32: { weightBytes: 4, format: 'fp32' },
  fp16: { weightBytes: 2, format: 'fp16' },
  fp8: { weightBytes: 1, format: 'fp8' },
  q8: { weightBytes: 34 / 32, format: 'fp16' },
  q4: { weightBytes: 18 / 32, format: 'fp16' },
}

export type ServingGoal = 'throughput' | 'cost' | 'latency'

export interface Lengths {
  readonly mean: number
  /** 19 of 20 are no longer. */
  readonly p95: number
}

export interface ServingRequest {
  readonly atMs: number
  readonly promptTokens: number
  readonly outputTokens: number
}

export interface ServingWorkload {
  /** `null`: as many as can be served. */
  readonly requestsPerS: number | null
  readonly promptTokens: Lengths
  readonly outputTokens: Lengths
  /** Requests as they were recorded, for simulation; otherwise lengths are drawn. */
  readonly trace: readonly ServingRequest[] | null
  /** Prompt and answer of the longest session that has to fit. */
  readonly contextTokens: number
  /** Targets for the mean; `null` sets none. */
  readonly ttftMs: number | null
  readonly tpotMs: number | null
  readonly goal: ServingGoal
  readonly precisions: readonly WeightPrecision[]
  readonly kvBytesPerElement: number
  /** How many times smaller K and V are on their way to a pipeline that answers; 1 if not given. */
  readonly kvCompression?: number
  /** Whether prompts may be computed apart from answers. */
  readonly roles: 'together' | 'split' | 'either'
  /** Sequences in one step of one stage. */
  readonly maxBatch: number
}

/** @throws PlanInputError that names the field */
export function checkServingWorkload(workload: ServingWorkload): void {
  const positive = (field: string, value: number | null) => {
    if (value === null || (value > 0 && Number.isFinite(value))) return
    throw new PlanInputError(field, value, 'a number above 0')
  }
  positive('requestsPerS', workload.requestsPerS)
  positive('ttftMs', workload.ttftMs)
  positive('tpotMs', workload.tpotMs)
  positive('kvBytesPerElement', workload.kvBytesPerElement)
  const { kvCompression = 1 } = workload
  if (!(kvCompression >= 1 && Number.isFinite(kvCompression))) {
    throw new PlanInputError('kvCompression', kvCompression, 'a ratio from 1')
  }
  for (const key of ['promptTokens', 'outputTokens'] as const) {
    const { mean, p95 } = workload[key]
    if (!(mean >= 1)) throw new PlanInputError(`${key}.mean`, mean, 'tokens from 1')
    if (!(p95 >= mean)) throw new PlanInputError(`${key}.p95`, p95, `at least the mean, ${mean}`)
  }
  for (const key of ['contextTokens', 'maxBatch'] as const) {
    const value = workload[key]
    if (!Number.isInteger(value) || value < 1) throw new PlanInputError(key, value, 'a whole number from 1')
  }
  if (workload.contextTokens < workload.promptTokens.mean + workload.outputTokens.mean) {
    throw new PlanInputError(
      'contextTokens',
      workload.contextTokens,
      'room for a prompt and an answer of mean length',
    )
  }
  if (workload.precisions.length === 0) {
    throw new PlanInputError('precisions', 'empty', `some of ${Object.keys(precisions).join(', ')}`)
  }
  if (workload.goal === 'cost' && workload.requestsPerS === null) {
    throw new PlanInputError(
      'requestsPerS',
      null,
      'the load whose cost is to be least, or the goal throughput',
    )
  }
}
