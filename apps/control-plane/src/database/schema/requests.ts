import {
  bigint,
  boolean,
  date,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
} from 'drizzle-orm/pg-core'
import { moment } from './columns.ts'

/** Answered requests, without prompts and answers. */
export const requestRecords = pgTable(
  'request_records',
  {
    id: text('id').primaryKey(),
    organisationId: text('organisation_id').notNull(),
    projectId: text('project_id').notNull(),
    keyId: text('key_id'),
    userId: text('user_id'),
    model: text('model').notNull(),
    deploymentId: text('deployment_id'),
    replicaId: text('replica_id'),
    at: moment('at').notNull(),
    status: integer('status').notNull(),
    streamed: boolean('streamed').notNull(),
    promptTokens: integer('prompt_tokens').notNull(),
    cachedPromptTokens: integer('cached_prompt_tokens').notNull(),
    completionTokens: integer('completion_tokens').notNull(),
    currency: text('currency').notNull(),
    costMicros: bigint('cost_micros', { mode: 'bigint' }).notNull(),
    ttftMs: doublePrecision('ttft_ms'),
    tpotMs: doublePrecision('tpot_ms'),
    durationMs: doublePrecision('duration_ms').notNull(),
    interruptions: integer('interruptions').notNull(),
    timeline: jsonb('timeline').$type<unknown>().notNull(),
    hops: jsonb('hops').$type<unknown>().notNull(),
    split: jsonb('split').$type<unknown>(),
  },
  (table) => [index('request_records_organisation').on(table.organisationId, table.at)],
)

/** Sums by day; empty text stands for no key. */
export const usageDays = pgTable(
  'usage_days',
  {
    organisationId: text('organisation_id').notNull(),
    day: date('day', { mode: 'string' }).notNull(),
    projectId: text('project_id').notNull(),
    keyId: text('key_id').notNull(),
    model: text('model').notNull(),
    requests: bigint('requests', { mode: 'number' }).notNull(),
    failedRequests: bigint('failed_requests', { mode: 'number' }).notNull(),
    promptTokens: bigint('prompt_tokens', { mode: 'number' }).notNull(),
    cachedPromptTokens: bigint('cached_prompt_tokens', { mode: 'number' }).notNull(),
    completionTokens: bigint('completion_tokens', { mode: 'number' }).notNull(),
    costMicros: bigint('cost_micros', { mode: 'bigint' }).notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.organisationId, table.day, table.projectId, table.keyId, table.model] }),
  ],
)
