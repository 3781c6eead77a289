import { integer, pgTable, primaryKey, text } from 'drizzle-orm/pg-core'
import { moment } from './columns.ts'

/** Work that one control plane does at a time: whoever holds the row's lock does it. */
export const claims = pgTable('claims', {
  name: text('name').primaryKey(),
  /** Who did it last, for people. */
  holder: text('holder').notNull(),
  at: moment('at').notNull(),
})

/** Secrets of the whole installation, made at its first start. */
export const clusterSecrets = pgTable('cluster_secrets', {
  name: text('name').primaryKey(),
  value: text('value').notNull(),
  createdAt: moment('created_at').notNull(),
})

/** Answers of creates, for callers who ask again with the same key. Answers that hold a secret are not kept. */
export const idempotentAnswers = pgTable(
  'idempotent_answers',
  {
    /** Who asked: `user:<id>`, `key:<id>`, with the organisation. */
    caller: text('caller').notNull(),
    route: text('route').notNull(),
    key: text('key').notNull(),
    /** SHA-256 of what was asked. */
    requestDigest: text('request_digest').notNull(),
    /** Null while the first call runs. */
    status: integer('status'),
    answer: text('answer'),
    createdAt: moment('created_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.caller, table.route, table.key] })],
)
