import { activationCodings } from '@deos/domain'
import { z } from 'zod'
import { component } from '../contract/registry.ts'
import {
  deploymentIdSchema,
  machineIdSchema,
  modelIdSchema,
  projectIdSchema,
  replicaIdSchema,
  stageIdSchema,
  userIdSchema,
} from './id.ts'
import { deviceNameSchema, locationSchema, reasonSchema, weightTypeSchema } from './machine.ts'
import { priceSchema } from './money.ts'
import {
  bytesSchema,
  count,
  fraction,
  millisecondsSchema,
  tokensPerSecondSchema,
  tokensSchema,
} from './quantity.ts'
import { replicaRoleSchema, splitPolicySchema } from './split.ts'
import { locationWordSchema, modelNameSchema, sentence, slugSchema } from './text.ts'
import { timestampSchema } from './time.ts'

/** Consecutive layers, half-open. */
/** Between two machines: dialled, over a relay, or found between two NATs. */
export const linkPathSchema = z.enum(['direct', 'relayed', 'punched'])

export const layerRangeSchema = component(
  'LayerRange',
  z.object({ first: count(), end: z.int().min(1) }),
  'Half-open: `end` is not included.',
)

/** How weights are held: `native`, as the model comes, or the type they are converted to when they are loaded. */
export const precisionSchema = component('Precision', z.union([z.literal('native'), weightTypeSchema]))

const targetTime = z.number().min(0.1).max(600_000)

/** What a deployment should achieve; what is missing does not matter. */
export const targetSchema = component(
  'Target',
  z.strictObject({
    ttftMs: targetTime.optional(),
    tpotMs: targetTime.optional(),
    tokensPerSecond: z.number().min(0.1).max(1e9).optional(),
    pricePerMillionTokens: priceSchema.optional(),
  }),
)

const replicaCount = z.int().max(1000)

export const replicaRangeSchema = component(
  'ReplicaRange',
  z
    .strictObject({ min: replicaCount.min(0), max: replicaCount.min(1) })
    .refine(({ min, max }) => min <= max, { path: ['min'], message: 'must not be above max' }),
)

const allowedWords = z.array(locationWordSchema).min(1).max(100).nullable()

/** Where stages may be placed; null allows all. */
export const placementPolicySchema = component(
  'PlacementPolicy',
  z.strictObject({ regions: allowedWords.default(null), providers: allowedWords.default(null) }),
)

/** How hidden states travel between stages: as they are, in fewer bytes without loss, or with one. */
export const activationsSchema = component('Activations', z.enum(activationCodings))

const specFields = {
  modelId: modelIdSchema,
  /** Longest session, prompt and answer together. Null is what the model was made for. */
  contextTokens: z.int().min(1).max(2_147_483_648).nullable(),
  /** Of that length, at once on one replica. */
  sessions: z.int().min(1).max(100_000),
  precision: precisionSchema,
  activations: activationsSchema,
  target: targetSchema,
  /** Bounds within which the number of replicas may be changed. */
  replicas: replicaRangeSchema,
  policy: placementPolicySchema,
  /** Null computes prompts where they are decoded. */
  split: splitPolicySchema.nullable(),
}

/** What is wished for. The system finds the machines and keeps it so. */
export const deploymentSpecSchema = component(
  'DeploymentSpec',
  z.strictObject({
    ...specFields,
    contextTokens: specFields.contextTokens.default(null),
    sessions: specFields.sessions.default(4),
    precision: specFields.precision.default('native'),
    activations: specFields.activations.default('f32'),
    target: specFields.target.default({}),
    replicas: specFields.replicas.default({ min: 1, max: 1 }),
    policy: specFields.policy.default({ regions: null, providers: null }),
    split: specFields.split.default(null),
  }),
)
export type DeploymentSpec = z.output<typeof deploymentSpecSchema>

/**
 * `ready` is as wished, `progressing` on its way, `lacking` finds no place for what is missing, `failing` tries again
 * what failed.
 */
export const deploymentStates = ['ready', 'progressing', 'lacking', 'failing', 'paused', 'removing'] as const
export const deploymentStateSchema = z.enum(deploymentStates)
export type DeploymentState = z.output<typeof deploymentStateSchema>

export const deploymentSchema = component(
  'Deployment',
  z.object({
    id: deploymentIdSchema,
    projectId: projectIdSchema,
    name: slugSchema,
    /** The model's name in requests. */
    servedAs: modelNameSchema,
    state: deploymentStateSchema,
    reason: reasonSchema,
    /** Of the active revision. */
    spec: deploymentSpecSchema,
    /** Number of the active revision. */
    revision: z.int().min(1),
    /** That answer. */
    replicas: z.object({
      wanted: count(),
      /** Take requests, of whatever revision. */
      ready: count(),
      /** Take requests and serve the active revision. */
      updated: count(),
      /** On their way. */
      starting: count(),
      /** Finish what they have. */
      draining: count(),
    }),
    /** That compute prompts for those. */
    prefillReplicas: z.object({ wanted: count(), ready: count() }),
    pricePerHour: priceSchema.nullable(),
    createdBy: userIdSchema.nullable(),
    createdAt: timestampSchema,
    updatedAt: timestampSchema,
  }),
)
export type Deployment = z.output<typeof deploymentSchema>

export const deploymentCreateSchema = component(
  'DeploymentCreate',
  z.strictObject({
    name: slugSchema,
    /** Without one, the organisation's first project. */
    projectId: projectIdSchema.optional(),
    /** Name of the model in requests. Without one, the model's own. */
    servedAs: modelNameSchema.optional(),
    spec: deploymentSpecSchema,
    /** To begin with. Without it the fewest allowed, but one. */
    replicas: replicaCount.min(0).optional(),
  }),
)

export const scaleSchema = component(
  'DeploymentScale',
  z.strictObject({
    /** Within the bounds of the spec. */
    replicas: replicaCount.min(0),
  }),
)

// Without the defaults of a whole spec: what is left out stays as it is.
export const reviseSchema = component(
  'DeploymentRevise',
  z.strictObject({ changes: z.strictObject(specFields).partial() }),
)

export const rollbackSchema = component(
  'DeploymentRollback',
  z.strictObject({
    /** Without one, the newest before the active one. */
    revision: z.int().min(1).max(1_000_000).optional(),
  }),
)

/** A spec that was wished for once; never changed. */
export const revisionSchema = component(
  'Revision',
  z.object({
    deploymentId: deploymentIdSchema,
    number: z.int().min(1),
    spec: deploymentSpecSchema,
    active: z.boolean(),
    createdBy: userIdSchema.nullable(),
    createdAt: timestampSchema,
  }),
)
export type Revision = z.output<typeof revisionSchema>

export const stageStates = ['assigned', 'loading', 'loaded', 'failed'] as const

/** Where a stage lies and what it takes there. */
export const stagePlaceShape = {
  machineId: machineIdSchema,
  machineName: slugSchema,
  device: deviceNameSchema,
  location: locationSchema,
  layers: layerRangeSchema,
  weightBytes: bytesSchema(),
  kvBytes: bytesSchema(),
}

export const stageSchema = component(
  'Stage',
  z.object({
    id: stageIdSchema,
    /** Along the ring, from 0. */
    position: count(),
    ...stagePlaceShape,
    state: z.enum(stageStates),
    reason: reasonSchema,
    /** Of its bytes that are there, while it loads. */
    loadedFraction: fraction().nullable(),
  }),
)
export type Stage = z.output<typeof stageSchema>

export const replicaStates = ['placing', 'loading', 'verifying', 'ready', 'draining', 'failed'] as const

export const replicaSchema = component(
  'Replica',
  z.object({
    id: replicaIdSchema,
    deploymentId: deploymentIdSchema,
    role: replicaRoleSchema,
    revision: z.int().min(1),
    /** Counts its placements. */
    generation: count(),
    state: z.enum(replicaStates),
    reason: reasonSchema,
    stages: z.array(stageSchema),
    /** Why these machines. */
    placementReasons: z.array(sentence()),
    predictedTokenMs: millisecondsSchema().nullable(),
    /** For usual requests, of which the reasons say the lengths; beside it the live stream says what is measured. */
    predicted: z
      .object({
        /** Of a replica that only computes prompts: until the KV of one is where it will be decoded. */
        ttftMs: millisecondsSchema(),
        /** `null` for a replica that only computes prompts. */
        tpotMs: millisecondsSchema().nullable(),
        /** Of answers; of a replica that only computes prompts, of prompts. */
        tokensPerSecond: tokensPerSecondSchema(),
        /** In `ttftMs`: how long computed prompts wait for KV from or to replicas of the other role; `null` if none travels. */
        handOverMs: millisecondsSchema().nullable(),
      })
      .nullable(),
    pricePerHour: priceSchema.nullable(),
    createdAt: timestampSchema,
    readyAt: timestampSchema.nullable(),
    /** When a real token was last generated. */
    lastTokenAt: timestampSchema.nullable(),
  }),
)
export type Replica = z.output<typeof replicaSchema>

/** A deployment with all that a page about it shows. */
export const deploymentDetailSchema = component(
  'DeploymentDetail',
  z.object({ deployment: deploymentSchema, replicas: z.array(replicaSchema) }),
)

/** What a ring does right now. */
export const deploymentLiveSchema = component(
  'DeploymentLive',
  z.object({
    at: timestampSchema,
    replicas: z.array(
      z.object({
        id: replicaIdSchema,
        state: z.enum(replicaStates),
        tokensPerSecond: tokensPerSecondSchema(),
        activeSessions: count(),
        queuedSessions: count(),
        kvUsedTokens: tokensSchema(),
        kvCapacityTokens: tokensSchema(),
        stages: z.array(
          z.object({
            id: stageIdSchema,
            busyFraction: fraction(),
            /** To the next stage of the ring; null in a ring of one. */
            linkRoundTripMs: millisecondsSchema().nullable(),
            /** How that link goes; null while it is not known. */
            linkPath: linkPathSchema.nullable(),
          }),
        ),
      }),
    ),
  }),
)

export const logLevels = ['debug', 'info', 'warn', 'error'] as const

export const logLineSchema = component(
  'LogLine',
  z.object({
    sequence: count(),
    at: timestampSchema,
    level: z.enum(logLevels),
    replicaId: replicaIdSchema.nullable(),
    stageId: stageIdSchema.nullable(),
    machineId: machineIdSchema.nullable(),
    /** As it was written: readers escape it. */
    message: z.string(),
  }),
)
