import type { ModelConfig } from '@deos/domain'
import type { KvType } from '@deos/engine/kv-type'
import { shapeOfConfig } from '@deos/planner'
import { z } from 'zod'
import { UsageError } from '../cli-error.ts'
import { documentSchema } from '../plan/plan-document.ts'
import { PlanFile } from '../plan/plan-file.ts'
import type { PlannedStage } from './plan-file.ts'

/** What a plan decides of a ring. Settings that are `null` it leaves open. */
export interface ServedPlan {
  readonly stages: readonly PlannedStage[]
  /** For which it was made; `null` if nobody said. */
  readonly model: PlannedModel | null
  readonly weightType: string | null
  readonly kvType: KvType | null
  readonly contextLength: number | null
  readonly maxSessions: number | null
}

const count = z.int().min(0).max(1_000_000)
const some = count.min(1)

const modelSchema = z.object({
  name: z.string(),
  layers: some,
  hiddenSize: some,
  feedForwardSize: some,
  heads: some,
  kvHeads: some,
  vocabSize: some,
})

export type PlannedModel = z.infer<typeof modelSchema>

const stageSchema = z
  .object({
    layers: z.object({ first: count, end: some }),
    tensorParallel: some.max(64),
    expertParallel: some.max(64).default(1),
    contextParallel: some.max(64).default(1),
    accelerators: z.array(z.object({ machine: z.string(), slot: count })).min(1),
  })
  .refine(
    ({ tensorParallel, expertParallel, contextParallel, accelerators }) =>
      accelerators.length === tensorParallel * expertParallel * contextParallel,
    { error: 'has another number of accelerators than its degrees say' },
  )
  .refine(({ layers }) => layers.end > layers.first, { error: 'has no layers' })

/** Of what `deos plan serve --json` prints, what a ring goes by. */
const servedSchema = z.object({
  schema: z.literal(documentSchema),
  kind: z.literal('serve', { error: 'is not a plan for serving' }),
  model: modelSchema,
  workload: z.object({ contextTokens: some, kvBytesPerElement: z.number().positive() }),
  plan: z.object({
    precision: z.enum(['fp32', 'fp16', 'fp8', 'q8', 'q4']),
    replicas: z
      .array(
        z.object({
          role: z.enum(['together', 'prefill', 'decode']),
          batch: some,
          stages: z.array(stageSchema).min(1),
        }),
      )
      .min(1),
  }),
})

type ServedDocument = z.infer<typeof servedSchema>

const weightTypes = { fp32: 'F32', fp16: 'F16', q8: 'Q8_0', q4: 'Q4_0' } as const

export const isPlanDocument = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'schema' in value

/**
 * Replicas of a plan as rings: of each accelerator one rank.
 *
 * @param text - as `deos plan serve --json` prints it
 * @param replica - only this one, counted from 0; `null` takes all
 * @throws PlanFileError naming line and field; UsageError if it cannot be run as it is
 */
export function servedPlans(text: string, path: string, replica: number | null): readonly ServedPlan[] {
  const document = new PlanFile(path, text).parse(servedSchema)
  const { replicas } = document.plan
  if (replica === null) return replicas.map((each) => servedPlan(document, path, each))
  const chosen = replicas[replica]
  if (chosen !== undefined) return [servedPlan(document, path, chosen)]
  throw new UsageError(
    `${path}: there is no replica ${replica}; the plan has ${replicas.length}.`,
    `Give --replica 0${replicas.length === 1 ? '' : ` to ${replicas.length - 1}`}, or leave it out for all.`,
  )
}

function servedPlan(
  { model, workload, plan }: ServedDocument,
  path: string,
  { role, batch, stages }: ServedDocument['plan']['replicas'][number],
): ServedPlan {
  if (role !== 'together') {
    throw new UsageError(
      `${path}: prompts and answers are computed by different replicas, which one gateway does not join here.`,
      'Plan with "roles: together" in the workload.',
    )
  }
  if (plan.precision === 'fp8') {
    throw new UsageError(
      `${path}: the plan holds weights in fp8, which engines do not compute with.`,
      'Plan with other "precisions" in the workload, such as q8.',
    )
  }
  return {
    stages: stages.map(({ layers, tensorParallel, expertParallel, contextParallel, accelerators }) => ({
      layers,
      split: { tensor: tensorParallel, experts: expertParallel, context: contextParallel },
      workers: accelerators.map(({ machine, slot }) => `${machine.replaceAll(/[^\w.-]+/g, '-')}.${slot}`),
    })),
    model,
    weightType: weightTypes[plan.precision],
    kvType: kvTypeOf(workload.kvBytesPerElement),
    contextLength: workload.contextTokens,
    // As many batches as there are stages go round one behind the other.
    maxSessions: batch * stages.length,
  }
}

/** What an engine's type takes may differ a little from what was planned with, not by half. */
function kvTypeOf(bytesPerElement: number): KvType {
  if (bytesPerElement > 3) return 'F32'
  return bytesPerElement > 1.5 ? 'F16' : 'Q8_0'
}

const compared = ['layers', 'hiddenSize', 'feedForwardSize', 'heads', 'kvHeads', 'vocabSize'] as const

/** @throws UsageError if the plan was made for another model */
export function checkModel(planned: PlannedModel, config: ModelConfig): void {
  const shape = shapeOfConfig(config)
  const other = compared.find((key) => planned[key] !== shape[key])
  if (other === undefined) return
  throw new UsageError(
    `The plan is for ${planned.name} with ${other} ${planned[other]}; ${config.name} has ${shape[other]}.`,
    'Make the plan for the model that is served: deos plan serve --model.',
  )
}
