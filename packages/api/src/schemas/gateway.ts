import { z } from 'zod'
import { component, exemplified } from '../contract/registry.ts'
import type { DeepReadonly } from '../contract/route-types.ts'
import {
  deploymentIdSchema,
  keyIdSchema,
  machineIdSchema,
  modelIdSchema,
  organisationIdSchema,
  projectIdSchema,
  replicaIdSchema,
  requestIdSchema,
  userIdSchema,
} from './id.ts'
import { keyScopeSchema } from './key.ts'
import { modelFileSchema } from './model.ts'
import { priceSchema } from './money.ts'
import { rateLimitSchema } from './organisation.ts'
import { count, tokensSchema } from './quantity.ts'
import { tokenPricesSchema } from './settings.ts'
import { replicaRoleSchema, splitPolicySchema } from './split.ts'
import { digestSchema, modelNameSchema } from './text.ts'
import { timestampSchema } from './time.ts'
import { requestRecordSchema } from './usage.ts'
import { linkAddressSchema, ringSecretSchema } from './worker.ts'

/** A ring that takes requests. */
export const routedReplicaSchema = component(
  'RoutedReplica',
  z.object({
    replicaId: replicaIdSchema,
    generation: count(),
    role: replicaRoleSchema,
    /** The ring's id in the protocol. */
    ring: z.string().min(1).max(200),
    ringSecret: ringSecretSchema,
    /** Where the first stage listens; null while it is not known, and behind a NAT. */
    leader: linkAddressSchema.nullable(),
    /** Where the last stage listens: the leader's in a ring of one. */
    tail: linkAddressSchema.nullable(),
    /** Where its stages are, in order. */
    machines: z.array(machineIdSchema),
    /** Where all stages listen, in the order of the ring; null where that is not known. */
    stages: z.array(linkAddressSchema.nullable()),
    /** Predicted time of one token of one sequence. */
    predictedTokenMs: z.number().min(0).nullable(),
  }),
)

/** A name that requests may use, and what answers them. */
export const routeTargetSchema = component(
  'RouteTarget',
  z.object({
    organisationId: organisationIdSchema,
    projectId: projectIdSchema,
    deploymentId: deploymentIdSchema,
    /** The name in requests. */
    name: modelNameSchema,
    /** Further names of the same. */
    aliases: z.array(modelNameSchema),
    model: z.object({
      id: modelIdSchema,
      name: modelNameSchema,
      fingerprint: z.string().min(1).max(128),
      files: z.array(modelFileSchema),
    }),
    contextTokens: tokensSchema(),
    split: splitPolicySchema.nullable(),
    /** Null lets requests be free. */
    prices: tokenPricesSchema.nullable(),
    replicas: z.array(routedReplicaSchema),
    createdAt: timestampSchema,
  }),
)
export type RouteTarget = z.output<typeof routeTargetSchema>

/** All that gateways route by. What is missing is not served. */
export const routingStateSchema = component(
  'RoutingState',
  z.object({
    version: count(),
    /** Changes whenever a key, a limit or a price did: what gateways remember of keys is void then. */
    accessVersion: count(),
    targets: z.array(routeTargetSchema),
  }),
)
export type RoutingState = z.output<typeof routingStateSchema>

export const accessRequestSchema = component(
  'AccessRequest',
  z.strictObject({
    /** Of the secret's UTF-8 bytes; the secret itself stays with the gateway. */
    digest: digestSchema,
  }),
)

/** What the holder of a secret may do. */
export const accessGrantSchema = component(
  'AccessGrant',
  z.object({
    organisationId: organisationIdSchema,
    projectId: projectIdSchema,
    /** Null for a person who is signed in to the console. */
    keyId: keyIdSchema.nullable(),
    userId: userIdSchema.nullable(),
    scopes: z.array(keyScopeSchema),
    expiresAt: timestampSchema.nullable(),
    keyRateLimit: rateLimitSchema,
    projectRateLimit: rateLimitSchema,
  }),
)
export type AccessGrant = z.output<typeof accessGrantSchema>

export const reservationRequestSchema = component(
  'ReservationRequest',
  z.strictObject({
    requestId: requestIdSchema,
    organisationId: organisationIdSchema,
    projectId: projectIdSchema,
    keyId: keyIdSchema.nullable(),
    /** The most the request can cost. */
    price: priceSchema,
    /** How long it may run at most. */
    durationMs: z.int().min(1).max(86_400_000),
  }),
)

export const reservationSchema = component(
  'Reservation',
  z.object({ requestId: requestIdSchema, expiresAt: timestampSchema }),
)

/** A finished request as its gateway saw it. */
export const answeredRequestSchema = component(
  'AnsweredRequest',
  z.strictObject({
    ...requestRecordSchema.shape,
    organisationId: organisationIdSchema,
    userId: userIdSchema.nullable(),
    /** Whether money was reserved; then `cost` is charged and the rest given back. */
    reserved: z.boolean(),
  }),
)
export type AnsweredRequest = DeepReadonly<z.output<typeof answeredRequestSchema>>

export const answeredBatchSchema = component(
  'AnsweredBatch',
  z.strictObject({ requests: z.array(answeredRequestSchema).min(1).max(500) }),
  'Handing over the same request twice records and charges it once.',
)

/** What a gateway does now, every second or two. */
export const gatewayReportSchema = component(
  'GatewayReport',
  z.strictObject({
    gateway: exemplified(z.string().regex(/^[A-Za-z0-9_-]{8,64}$/), ['gateway-0c1']),
    /** Where clients reach it. */
    url: exemplified(z.string().url().max(2048), ['http://127.0.0.1:8000']),
    /** Of the routing state it follows. */
    routingVersion: count(),
    activeRequests: count(),
    queuedRequests: count(),
    replicas: z
      .array(
        z.strictObject({
          replicaId: replicaIdSchema,
          generation: count(),
          /** Requests without a final answer. */
          open: count(),
          /** Of these, waiting for the ring to begin. */
          queued: count().default(0),
          ready: z.boolean(),
        }),
      )
      .max(5000),
  }),
)

export const gatewayReportAnswerSchema = component(
  'GatewayReportAnswer',
  z.object({
    /** Gateways that report; each enforces its share of a rate limit. */
    gateways: z.int().min(1),
    routingVersion: count(),
  }),
)
