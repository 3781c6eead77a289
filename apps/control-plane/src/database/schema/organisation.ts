import type { Budget, RateLimit, Settings } from '@deos/api'
import { sql } from 'drizzle-orm'
import { index, integer, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { moment } from './columns.ts'
import { organisations } from './people.ts'

const organisationId = () =>
  text('organisation_id')
    .notNull()
    .references(() => organisations.id, { onDelete: 'cascade' })

/** Removed ones stay, for what they spent. */
export const projects = pgTable(
  'projects',
  {
    id: text('id').primaryKey(),
    organisationId: organisationId(),
    name: text('name').notNull(),
    title: text('title').notNull(),
    budget: jsonb('budget').$type<Budget>(),
    rateLimit: jsonb('rate_limit').$type<RateLimit>().notNull(),
    createdAt: moment('created_at').notNull(),
    removedAt: moment('removed_at'),
  },
  (table) => [
    uniqueIndex('projects_name').on(table.organisationId, table.name).where(sql`${table.removedAt} is null`),
  ],
)

/** API keys; and tokens of short life with which people who are signed in use models (`user_id` is set then). */
export const apiKeys = pgTable(
  'api_keys',
  {
    id: text('id').primaryKey(),
    organisationId: organisationId(),
    projectId: text('project_id')
      .notNull()
      .references(() => projects.id),
    userId: text('user_id'),
    name: text('name').notNull(),
    /** The first characters of the secret, for people. */
    prefix: text('prefix').notNull(),
    /** SHA-256 of the secret, as `sha256:…`. Secrets are random, so that no slow hash is needed. */
    digest: text('digest').notNull().unique(),
    scopes: jsonb('scopes').$type<('inference' | 'manage' | 'read')[]>().notNull(),
    budget: jsonb('budget').$type<Budget>(),
    rateLimit: jsonb('rate_limit').$type<RateLimit>().notNull(),
    createdBy: text('created_by'),
    createdAt: moment('created_at').notNull(),
    expiresAt: moment('expires_at'),
    lastUsedAt: moment('last_used_at'),
    revokedAt: moment('revoked_at'),
  },
  (table) => [index('api_keys_organisation').on(table.organisationId, table.createdAt)],
)

export const settings = pgTable('settings', {
  organisationId: organisationId().primaryKey(),
  currency: text('currency').notNull(),
  budget: jsonb('budget').$type<Budget>(),
  tokenPrices: jsonb('token_prices').$type<NonNullable<Settings['tokenPrices']>>(),
  placementPolicy: jsonb('placement_policy').$type<Settings['placementPolicy']>().notNull(),
  hubUrl: text('hub_url'),
  requestLogDays: integer('request_log_days').notNull(),
  eventDays: integer('event_days').notNull(),
  updatedAt: moment('updated_at').notNull(),
})
