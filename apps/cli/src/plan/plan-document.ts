import type { ComputeFleet, ModelShape, ServingPlan, ServingWorkload } from '@deos/planner'
import { z } from 'zod'
import { PlanFile } from './plan-file.ts'

export const documentSchema = 'deos.plan.v1'

/** What `deos plan serve --json` writes: the plan, with all that it was made from. */
export interface ServingDocument {
  readonly schema: typeof documentSchema
  readonly kind: 'serve'
  readonly model: ModelShape
  readonly fleet: ComputeFleet
  readonly workload: ServingWorkload
  readonly plan: ServingPlan
  readonly planningMs: number
}

const text = z.string()
const count = z.int().min(0)
const amount = z.number().nonnegative()

const modelSchema = z.object({
  architecture: text,
  name: text,
  layers: z.int().min(1),
  hiddenSize: z.int().min(1),
  feedForwardSize: z.int().min(1),
  heads: z.int().min(1),
  kvHeads: z.int().min(1),
  headDim: z.int().min(1),
  ropeDim: count,
  vocabSize: z.int().min(1),
  contextLength: z.int().min(1),
  slidingWindow: z
    .object({
      size: z.int().min(1),
      layers: z.array(z.boolean()),
      kind: z.enum(['sliding', 'chunked']),
      ropeTheta: z.number().nullable(),
    })
    .nullable(),
  experts: z
    .object({
      count,
      used: count,
      feedForwardSize: count,
      sharedFeedForwardSize: count,
      scoring: z.enum(['softmax', 'sigmoid', 'softmax of chosen']),
      normalised: z.boolean(),
      weightScale: z.number(),
      groups: count,
      groupsUsed: count,
      groupJudges: count,
      layers: z.object({ first: count, every: z.int().min(1) }),
    })
    .nullable(),
  latentAttention: z
    .object({ queryRank: z.int().nullable(), kvRank: z.int().min(1), valueDim: z.int().min(1) })
    .nullable(),
  tiedEmbeddings: z.boolean(),
  gatedFeedForward: z.boolean(),
  attentionBiases: z.enum(['none', 'query key value', 'output', 'all']),
  feedForwardBiases: z.boolean(),
  normBiases: z.boolean(),
  normsPerLayer: count,
  headNorms: z.boolean(),
  finalNorm: z.boolean(),
  learnedPositions: count,
  embeddingSize: z.int().min(1),
  routerBias: z.boolean(),
  assumptions: z.array(text),
})

const rate = z.object({ delayMs: amount, bytesPerS: z.number().positive() })
const figure = amount.nullable()
const namedRate = z.object({ a: text, b: text, rate })

const fleetSchema = z.object({
  machines: z
    .array(
      z.object({
        name: text,
        accelerator: z.object({
          name: text,
          vendor: text,
          memoryGiB: z.number().positive(),
          memoryGBs: z.number().positive(),
          fp32Tflops: figure,
          fp16Tflops: figure,
          fp8Tflops: figure,
          int8Tops: figure,
          peerLinkGBs: figure,
          hostLinkGBs: figure,
          powerW: figure,
          source: text,
          note: text,
        }),
        accelerators: z.int().min(1),
        hostMemoryGiB: amount.default(0),
        inside: rate,
        site: text,
        region: text,
        pricePerHour: amount,
        availability: z.number().positive().max(1),
      }),
    )
    .min(1),
  links: z.object({
    sameSite: rate,
    sameRegion: rate,
    elsewhere: rate,
    regions: z.array(namedRate),
    measured: z.array(namedRate),
  }),
  efficiency: z.object({
    compute: z.number().positive().max(1),
    memory: z.number().positive().max(1),
    overheadMs: amount,
  }),
})

const lengths = z.object({ mean: z.number().min(1), p95: z.number().min(1) })
const precision = z.enum(['fp32', 'fp16', 'fp8', 'q8', 'q4'])

const workloadSchema = z.object({
  requestsPerS: z.number().positive().nullable(),
  promptTokens: lengths,
  outputTokens: lengths,
  trace: z
    .array(z.object({ atMs: amount, promptTokens: z.int().min(1), outputTokens: z.int().min(1) }))
    .nullable(),
  contextTokens: z.int().min(1),
  ttftMs: z.number().positive().nullable(),
  tpotMs: z.number().positive().nullable(),
  goal: z.enum(['throughput', 'cost', 'latency']),
  precisions: z.array(precision).min(1),
  kvBytesPerElement: z.number().positive(),
  kvCompression: z.number().min(1).default(1),
  roles: z.enum(['together', 'split', 'either']),
  maxBatch: z.int().min(1),
})

/** Of the plan only what is played. */
const planSchema = z.object({
  precision,
  replicas: z
    .array(
      z.object({
        role: z.enum(['together', 'prefill', 'decode']),
        share: z.number().positive(),
        stages: z
          .array(
            z.object({
              layers: z.object({ first: count, end: z.int().min(1) }),
              accelerators: z.array(z.object({ machine: text })).min(1),
              tensorParallel: z.int().min(1).optional(),
              expertParallel: z.int().min(1).optional(),
              contextParallel: z.int().min(1).optional(),
              offload: z
                .object({ share: z.number().positive().max(1) })
                .nullable()
                .optional(),
            }),
          )
          .min(1),
      }),
    )
    .min(1),
  handOver: z.object({ kvBytesPerPrompt: amount, addedMs: amount }).nullable(),
  predicted: z.object({ requestsPerS: z.number().positive(), ttftMs: amount, tpotMs: amount }),
})

const servingDocument = z.object({
  schema: z.literal(documentSchema),
  kind: z.literal('serve'),
  model: modelSchema,
  fleet: fleetSchema,
  workload: workloadSchema,
  plan: planSchema,
})

const degree = z.int().min(1)
const zeroStage = z.union([z.literal(0), z.literal(1), z.literal(2), z.literal(3)])

const jobSchema = z.object({
  globalBatch: z.int().min(1),
  sequenceTokens: z.int().min(1),
  microbatches: z.array(z.int().min(1)).min(1),
  optimiser: z.enum(['adam', 'sgd']),
  precision: z.enum(['fp16', 'fp32']),
  goal: z.enum(['throughput', 'cost']),
  mostLocalSteps: z.int().min(1),
  tokens: z.number().positive().nullable(),
  stepS: z.number().positive().nullable(),
})

const trainingPlanSchema = z.object({
  degrees: z.object({ tensor: degree, context: degree, expert: degree, data: degree, pipeline: degree }),
  microbatch: z.int().min(1),
  options: z.object({
    schedule: z.enum(['gpipe', '1f1b', 'zero bubble']),
    overlap: z.boolean(),
    exchange: z.enum(['sharded', 'direct', 'ring', 'regional']),
    exchangeEarly: z.boolean(),
    nextStepEarly: z.boolean(),
    gradientBytesPerParameter: z.number().positive(),
    activationBytesPerElement: z.number().positive(),
    stepsPerExchange: z.int().min(1),
    rematerialise: z.boolean(),
    extraInFlight: count,
    zeroStage: zeroStage.default(0),
  }),
  stages: z
    .array(
      z.object({
        layers: z.object({ first: count, end: z.int().min(1) }),
        replicas: z.array(z.array(z.object({ machine: text, slot: count })).min(1)).min(1),
      }),
    )
    .min(1),
  predicted: z.object({ stepS: z.number().positive(), tokensPerS: z.number().positive() }),
})

const trainingDocument = z.object({
  schema: z.literal(documentSchema),
  kind: z.literal('train'),
  model: modelSchema,
  fleet: fleetSchema,
  workload: jobSchema,
  plan: trainingPlanSchema,
})

const playable = z.discriminatedUnion('kind', [servingDocument, trainingDocument], {
  error: 'is neither a plan for serving nor one for training',
})

export type PlayableDocument = z.infer<typeof playable>

/** @throws PlanFileError naming the field that is wrong */
export async function readPlan(path: string): Promise<PlayableDocument> {
  return (await PlanFile.read(path)).parse(playable)
}
