import { sql } from 'drizzle-orm'
import { bigint, index, jsonb, pgTable, primaryKey, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { moment } from './columns.ts'

/** What a deployment is beside what its events say. */
export const deploymentDetails = pgTable(
  'deployment_details',
  {
    id: text('id').primaryKey(),
    organisationId: text('organisation_id').notNull(),
    projectId: text('project_id').notNull(),
    /** The model's name in requests. */
    servedAs: text('served_as').notNull(),
    createdBy: text('created_by'),
    removedAt: moment('removed_at'),
  },
  (table) => [
    uniqueIndex('deployments_served_as')
      .on(table.organisationId, table.servedAs)
      .where(sql`${table.removedAt} is null`),
  ],
)

export const aliases = pgTable(
  'aliases',
  {
    organisationId: text('organisation_id').notNull(),
    name: text('name').notNull(),
    deploymentId: text('deployment_id').notNull(),
    updatedAt: moment('updated_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.organisationId, table.name] })],
)

export const logLines = pgTable(
  'log_lines',
  {
    sequence: bigint('sequence', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    organisationId: text('organisation_id').notNull(),
    deploymentId: text('deployment_id'),
    replicaId: text('replica_id'),
    stageId: text('stage_id'),
    machineId: text('machine_id'),
    level: text('level').$type<'debug' | 'info' | 'warn' | 'error'>().notNull(),
    message: text('message').notNull(),
    at: moment('at').notNull(),
  },
  (table) => [index('log_lines_deployment').on(table.deploymentId, table.sequence)],
)

/** Measured every few seconds, for charts; `subject` is `machine:<id>`, `deployment:<id>` or `organisation:<id>`. */
export const samples = pgTable(
  'samples',
  {
    subject: text('subject').notNull(),
    at: moment('at').notNull(),
    values: jsonb('values').$type<Record<string, number | null>>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.subject, table.at] })],
)
