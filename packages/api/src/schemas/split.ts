import { z } from 'zod'
import { component } from '../contract/registry.ts'
import { replicaIdSchema } from './id.ts'
import { bytesSchema, count, millisecondsSchema, tokensSchema } from './quantity.ts'
import { line } from './text.ts'

export const kvQualities = ['lossless', 'guarded', 'refined'] as const

/** Prompts computed by other replicas than those that answer. */
export const splitPolicySchema = component(
  'SplitPolicy',
  z.strictObject({
    /** Beside those that answer, which are what the number of replicas speaks of. */
    prefillReplicas: z.int().min(1).max(1000),
    /**
     * `guarded` allows fewer bytes on the way as long as what follows from them is checked. With `refined`, better copies
     * follow while the answer goes on: more bytes in all.
     */
    kvQuality: z.enum(kvQualities).default('lossless'),
  }),
)

/** `both` computes prompts and answers; with a split, `prefill` computes prompts for those that `decode`. */
export const replicaRoles = ['both', 'prefill', 'decode'] as const
export const replicaRoleSchema = z.enum(replicaRoles)

/** Whether another replica computed a request's prompt, and why. */
export const requestSplitSchema = component(
  'RequestSplit',
  z.object({
    /** Whether what it computed was used, were it a part. */
    used: z.boolean(),
    reason: line(500),
    /** The replica that was asked, or would have been. */
    prefillReplicaId: replicaIdSchema.nullable(),
    /** Positions that the answering replica did not have to compute for that. */
    tokens: tokensSchema(),
    /** KV that went over the network for them, better copies included. */
    bytes: bytesSchema(),
    /** At which its layers travelled, each once; 0 is exact, and all above are with loss. */
    levels: z.array(z.int().min(0).max(255)).max(256).default([]),
    /** Times that the guard refused what came with loss. */
    refusals: count().default(0),
    /** Better copies of what came with loss, after the answer had begun; `null` if there were to be none. */
    enhancement: z
      .object({
        level: z.int().min(0).max(255),
        bytes: bytesSchema(),
        /** Since the first token; `null` if the request ended first. */
        endedMs: millisecondsSchema().nullable(),
        /** Everything was replaced. */
        complete: z.boolean(),
      })
      .nullable()
      .default(null),
  }),
)
