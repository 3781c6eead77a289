import { jsonb, pgTable, text } from 'drizzle-orm/pg-core'
import { moment } from './columns.ts'

/** Gateways that report, with what they said last. */
export const gateways = pgTable('gateways', {
  id: text('id').primaryKey(),
  url: text('url').notNull(),
  report: jsonb('report').$type<unknown>().notNull(),
  reportedAt: moment('reported_at').notNull(),
})
