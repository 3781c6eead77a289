import { z } from 'zod'
import { component, exemplified } from '../contract/registry.ts'
import {
  deploymentIdSchema,
  keyIdSchema,
  ledgerEntryIdSchema,
  machineIdSchema,
  projectIdSchema,
  replicaIdSchema,
  requestIdSchema,
} from './id.ts'
import { moneySchema, priceSchema } from './money.ts'
import { count, millisecondsSchema, tokensSchema } from './quantity.ts'
import { requestSplitSchema } from './split.ts'
import { line, modelNameSchema, sentence } from './text.ts'
import { daySchema, timestampSchema } from './time.ts'

/** What usage may be told apart by. */
export const usageDimensions = ['day', 'project', 'key', 'model'] as const

const amounts = {
  requests: count(),
  failedRequests: count(),
  promptTokens: tokensSchema(),
  cachedPromptTokens: tokensSchema(),
  completionTokens: tokensSchema(),
  cost: moneySchema,
}

/** Dimensions that were not asked for are null. */
export const usageRowSchema = component(
  'UsageRow',
  z.object({
    day: daySchema.nullable(),
    projectId: projectIdSchema.nullable(),
    keyId: keyIdSchema.nullable(),
    model: modelNameSchema.nullable(),
    ...amounts,
  }),
)

export const usageSchema = component(
  'Usage',
  z.object({ from: daySchema, to: daySchema, rows: z.array(usageRowSchema), total: z.object(amounts) }),
  'From the first moment of `from` to the last of `to`, in UTC.',
)
export type Usage = z.output<typeof usageSchema>

/** A part of a request's life. */
export const spanSchema = component(
  'RequestSpan',
  z.object({
    /** While `decode` lasts, better copies of KV that came with loss may follow: `enhancement`. */
    phase: z.enum(['queue', 'prefill', 'decode', 'enhancement', 'interruption']),
    /** Since the request arrived. */
    startMs: millisecondsSchema(),
    endMs: millisecondsSchema(),
  }),
)

const hopTimesSchema = z.object({
  /** Behind other requests' steps, and on the way to the engine and back. */
  waitMs: millisecondsSchema(),
  computeMs: millisecondsSchema(),
  /** On to the next stage, from the last one to the first: half of a round trip for each step. */
  linkMs: millisecondsSchema(),
})

/** What a request's steps took at one stage. Stages work on several steps at once, so sums may exceed the time that passed. */
export const hopSchema = component(
  'RequestHop',
  z.object({
    replicaId: replicaIdSchema,
    /** From 0. */
    stage: count(),
    /** Null if the gateway did not know. */
    machineId: machineIdSchema.nullable(),
    /** Up to the replica's first token, and after it. */
    prefill: hopTimesSchema,
    decode: hopTimesSchema,
  }),
)

/** A request that the gateway answered; neither prompt nor answer is kept. */
export const requestRecordSchema = component(
  'RequestRecord',
  z.object({
    id: requestIdSchema,
    at: timestampSchema,
    keyId: keyIdSchema.nullable(),
    projectId: projectIdSchema,
    model: modelNameSchema,
    deploymentId: deploymentIdSchema.nullable(),
    replicaId: replicaIdSchema.nullable(),
    status: z.int().min(100).max(599),
    streamed: z.boolean(),
    promptTokens: tokensSchema(),
    cachedPromptTokens: tokensSchema(),
    completionTokens: tokensSchema(),
    cost: moneySchema,
    ttftMs: millisecondsSchema().nullable(),
    tpotMs: millisecondsSchema().nullable(),
    durationMs: millisecondsSchema(),
    interruptions: count(),
    timeline: z.array(spanSchema),
    /** In the order of the ring, one replica after another. */
    hops: z.array(hopSchema),
    /** Null where nobody else computes prompts. */
    split: requestSplitSchema.nullable(),
  }),
)
export type RequestRecord = z.output<typeof requestRecordSchema>

export const balanceSchema = component(
  'Balance',
  z.object({
    at: timestampSchema,
    balance: moneySchema,
    /** Held back for requests that still run. */
    reserved: moneySchema,
    /** What new requests may use. */
    available: moneySchema,
    /** What the organisation's machines have earned so far. */
    earned: moneySchema,
  }),
)
export type Balance = z.output<typeof balanceSchema>

/** Postings of one entry add up to zero in every currency. */
export const ledgerEntrySchema = component(
  'LedgerEntry',
  z.object({
    id: ledgerEntryIdSchema,
    at: timestampSchema,
    kind: z.enum(['deposit', 'reserve', 'settle', 'release', 'adjust']),
    description: sentence(),
    requestId: requestIdSchema.nullable(),
    postings: z.array(
      z.object({ account: exemplified(z.string(), ['wallet', 'reserved', 'revenue']), amount: moneySchema }),
    ),
  }),
)
export type LedgerEntry = z.output<typeof ledgerEntrySchema>

export const depositSchema = component(
  'Deposit',
  z.strictObject({ amount: priceSchema, comment: line(200).optional() }),
)
