import { bigint, index, integer, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { moment } from './columns.ts'

/**
 * What happened, for good. Events of `fleet` and `deployments` are numbered within their stream, and state is a fold of
 * them; those of `organisation` only tell what happened to rows beside.
 */
export const events = pgTable(
  'events',
  {
    /** Visible in this order: writers take turns. */
    sequence: bigint('sequence', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    stream: text('stream').notNull(),
    /** From 1 on, without gaps; null in streams that nothing is folded from. */
    version: integer('version'),
    organisationId: text('organisation_id').notNull(),
    /** As the API names it: `machine.joined`. */
    type: text('type').notNull(),
    /** The event of `packages/fleet`, or the data of the API's. */
    data: jsonb('data').$type<unknown>().notNull(),
    cause: jsonb('cause').$type<EventCause>().notNull(),
    machineId: text('machine_id'),
    deploymentId: text('deployment_id'),
    at: moment('at').notNull(),
  },
  (table) => [
    uniqueIndex('events_version').on(table.stream, table.version),
    index('events_organisation').on(table.organisationId, table.sequence),
  ],
)

export type EventCause =
  | { readonly kind: 'user' | 'key' | 'machine'; readonly id: string }
  | { readonly kind: 'system' }

/** Spares folding a stream from its beginning. */
export const snapshots = pgTable('snapshots', {
  stream: text('stream').primaryKey(),
  version: integer('version').notNull(),
  state: jsonb('state').$type<unknown>().notNull(),
  at: moment('at').notNull(),
})

export const decisions = pgTable(
  'decisions',
  {
    id: text('id').primaryKey(),
    organisationId: text('organisation_id').notNull(),
    kind: text('kind').notNull(),
    deploymentId: text('deployment_id'),
    replicaId: text('replica_id'),
    summary: text('summary').notNull(),
    reasons: jsonb('reasons').$type<string[]>().notNull(),
    rejected: jsonb('rejected').$type<{ option: string; reason: string }[]>().notNull(),
    at: moment('at').notNull(),
  },
  (table) => [index('decisions_organisation').on(table.organisationId, table.at)],
)
