import { z } from 'zod'
import { component } from '../contract/registry.ts'
import { deploymentSpecSchema, stagePlaceShape } from './deployment.ts'
import { priceSchema } from './money.ts'
import { millisecondsSchema, tokensPerSecondSchema, tokensSchema } from './quantity.ts'
import { sentence } from './text.ts'

export const previewRequestSchema = component(
  'PlacementPreviewRequest',
  z.strictObject({ spec: deploymentSpecSchema }),
)

export const plannedStageSchema = component(
  'PlannedStage',
  z.object({
    ...stagePlaceShape,
    decodeMs: millisecondsSchema(),
  }),
)

/** What a deployment would become if it were made now. */
export const previewSchema = component(
  'PlacementPreview',
  z.object({
    /** Of one replica, in the order of the ring; null if nothing fits. */
    placement: z.object({ stages: z.array(plannedStageSchema), tokenMs: millisecondsSchema() }).nullable(),
    /** Replicas of the least wanted number that would fit side by side. */
    fittingReplicas: z.int().min(0),
    /** Of one replica that computes prompts; null if none is wished for, or none fits. */
    prefillPlacement: z
      .object({ stages: z.array(plannedStageSchema), tokenMs: millisecondsSchema() })
      .nullable(),
    kvTokens: tokensSchema(),
    predictedTokensPerSecond: tokensPerSecondSchema().nullable(),
    /** Of the least wanted number of replicas; null if a machine has no price. */
    pricePerHour: priceSchema.nullable(),
    /** Why so, or what is missing. */
    reasons: z.array(sentence()),
  }),
)
export type PlacementPreview = z.output<typeof previewSchema>
