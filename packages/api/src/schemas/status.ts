import { z } from 'zod'
import { component, exemplified } from '../contract/registry.ts'
import { deploymentStateSchema } from './deployment.ts'
import { machineStateSchema } from './machine.ts'
import { moneySchema, priceSchema } from './money.ts'
import { count, millisecondsSchema, ratePerSecond, tokensPerSecondSchema } from './quantity.ts'
import { sentence, versionSchema } from './text.ts'
import { timestampSchema } from './time.ts'

export const versionInfoSchema = component(
  'VersionInfo',
  z.object({
    version: versionSchema,
    /** Versions of the machines' protocol that are spoken, both included. */
    workerProtocols: z.object({ min: z.int().min(1), max: z.int().min(1) }),
    gatewayUrl: exemplified(z.string(), ['http://127.0.0.1:8000/v1']).nullable(),
  }),
)

export const percentilesSchema = component(
  'Percentiles',
  z.object({
    p50: millisecondsSchema(),
    p95: millisecondsSchema(),
    p99: millisecondsSchema(),
    samples: count(),
  }),
)

/** Counts of every state, those of none included. */
const byState = <S extends z.ZodEnum>(states: S) => z.record(states, count())

/** The last minutes at a glance. */
export const statusSchema = component(
  'Status',
  z.object({
    at: timestampSchema,
    version: versionSchema,
    health: z.object({ state: z.enum(['ok', 'degraded', 'down']), reasons: z.array(sentence()) }),
    /** When a real token was last generated. */
    lastTokenAt: timestampSchema.nullable(),
    tokensPerSecond: tokensPerSecondSchema(),
    requestsPerSecond: ratePerSecond(),
    activeRequests: count(),
    queuedRequests: count(),
    /** Null without requests. */
    ttftMs: percentilesSchema.nullable(),
    tpotMs: percentilesSchema.nullable(),
    machines: byState(machineStateSchema),
    deployments: byState(deploymentStateSchema),
    spend: z.object({ today: moneySchema, month: moneySchema, perHour: priceSchema }),
  }),
)
export type Status = z.output<typeof statusSchema>
