import { z } from 'zod'
import { created, json, page, stream } from '../contract/answer.ts'
import { defineRoute } from '../contract/route.ts'
import { pageQuery } from '../pagination.ts'
import { decisionKinds, decisionSchema, eventSchema, eventTypeSchema } from '../schemas/event.ts'
import {
  decisionIdSchema,
  deploymentIdSchema,
  keyIdSchema,
  machineIdSchema,
  projectIdSchema,
  requestIdSchema,
} from '../schemas/id.ts'
import { queryList } from '../schemas/query.ts'
import { statusSchema } from '../schemas/status.ts'
import { modelNameSchema } from '../schemas/text.ts'
import { daySchema, seriesSchema, timeWindowSchema } from '../schemas/time.ts'
import {
  balanceSchema,
  depositSchema,
  ledgerEntrySchema,
  requestRecordSchema,
  usageDimensions,
  usageSchema,
} from '../schemas/usage.ts'

const eventFilter = {
  type: queryList(eventTypeSchema, 50).optional(),
  machine: machineIdSchema.optional(),
  deployment: deploymentIdSchema.optional(),
}

export const eventRoutes = {
  list: defineRoute({
    method: 'GET',
    path: '/events',
    query: z.strictObject({
      ...pageQuery,
      ...eventFilter,
      order: z.enum(['newest', 'oldest']).default('newest'),
    }),
    answer: page('EventPage', eventSchema),
    permission: 'events:read',
    summary: 'What happened; cursors are sequence numbers.',
  }),
  follow: defineRoute({
    method: 'GET',
    path: '/events/stream',
    query: z.strictObject(eventFilter),
    answer: stream(eventSchema),
    permission: 'events:read',
    summary: 'Events as they happen; after `last-event-id` none is missed and none comes twice.',
  }),
}

export const decisionRoutes = {
  list: defineRoute({
    method: 'GET',
    path: '/decisions',
    query: z.strictObject({
      ...pageQuery,
      kind: queryList(z.enum(decisionKinds)).optional(),
      deployment: deploymentIdSchema.optional(),
    }),
    answer: page('DecisionPage', decisionSchema),
    permission: 'events:read',
    summary: 'What the system chose and why, newest first.',
  }),
  show: defineRoute({
    method: 'GET',
    path: '/decisions/{decision}',
    params: { decision: decisionIdSchema },
    answer: json(decisionSchema),
    permission: 'events:read',
    summary: 'One decision.',
  }),
}

export const requestRoutes = {
  list: defineRoute({
    method: 'GET',
    path: '/requests',
    query: z.strictObject({
      ...pageQuery,
      key: keyIdSchema.optional(),
      project: projectIdSchema.optional(),
      deployment: deploymentIdSchema.optional(),
      model: modelNameSchema.optional(),
    }),
    answer: page('RequestPage', requestRecordSchema),
    permission: 'requests:read',
    summary: 'Requests that were answered, newest first; without prompts and answers.',
  }),
  show: defineRoute({
    method: 'GET',
    path: '/requests/{request}',
    params: { request: requestIdSchema },
    answer: json(requestRecordSchema),
    permission: 'requests:read',
    summary: 'One request with its timeline.',
  }),
}

export const usageRoutes = {
  show: defineRoute({
    method: 'GET',
    path: '/usage',
    query: z.strictObject({
      /** Without it, 30 days before `to`. */
      from: daySchema.optional(),
      /** Without it, today. */
      to: daySchema.optional(),
      by: queryList(z.enum(usageDimensions)).default(['day']),
      project: projectIdSchema.optional(),
      key: keyIdSchema.optional(),
      model: modelNameSchema.optional(),
    }),
    answer: json(usageSchema),
    permission: 'usage:read',
    summary: 'Tokens, requests and cost, told apart as asked.',
  }),
}

export const ledgerRoutes = {
  balance: defineRoute({
    method: 'GET',
    path: '/ledger/balance',
    answer: json(balanceSchema),
    permission: 'billing:read',
    summary: 'What is there, what is held back and what may be used.',
  }),
  entries: defineRoute({
    method: 'GET',
    path: '/ledger/entries',
    query: z.strictObject(pageQuery),
    answer: page('LedgerPage', ledgerEntrySchema),
    permission: 'billing:read',
    summary: 'Entries of the ledger, newest first.',
  }),
  deposit: defineRoute({
    method: 'POST',
    path: '/ledger/deposits',
    body: depositSchema,
    answer: created(ledgerEntrySchema),
    permission: 'billing:write',
    idempotencyKey: true,
    summary: 'Add money to the organisation’s balance.',
  }),
}

export const statusRoutes = {
  show: defineRoute({
    method: 'GET',
    path: '/status',
    answer: json(statusSchema),
    permission: 'status:read',
    summary: 'Throughput, latency, health and spend at a glance.',
  }),
  follow: defineRoute({
    method: 'GET',
    path: '/status/stream',
    answer: stream(statusSchema),
    permission: 'status:read',
    summary: 'The same, about once a second.',
  }),
  series: defineRoute({
    method: 'GET',
    path: '/status/series',
    query: z.strictObject({ window: timeWindowSchema.default('1h') }),
    answer: json(seriesSchema),
    permission: 'status:read',
    summary: 'The same over time, for charts.',
  }),
}
