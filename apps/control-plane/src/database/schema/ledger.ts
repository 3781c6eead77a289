import { bigint, index, jsonb, pgTable, text } from 'drizzle-orm/pg-core'
import { moment } from './columns.ts'

/** Balances of accounts that one organisation or budget owns; those that all share are the sum of their postings. */
export const ledgerBalances = pgTable('ledger_balances', {
  account: text('account').primaryKey(),
  micros: bigint('micros', { mode: 'bigint' }).notNull(),
})

export const ledgerEntries = pgTable(
  'ledger_entries',
  {
    sequence: bigint('sequence', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    id: text('id').notNull().unique(),
    /** Of the command; the same again changes nothing. */
    key: text('key').notNull().unique(),
    kind: text('kind').notNull(),
    content: text('content').notNull(),
    organisationId: text('organisation_id'),
    requestId: text('request_id'),
    description: text('description').notNull(),
    at: moment('at').notNull(),
  },
  (table) => [index('ledger_entries_organisation').on(table.organisationId, table.sequence)],
)

export const ledgerPostings = pgTable(
  'ledger_postings',
  {
    entry: bigint('entry', { mode: 'number' })
      .notNull()
      .references(() => ledgerEntries.sequence),
    account: text('account').notNull(),
    micros: bigint('micros', { mode: 'bigint' }).notNull(),
  },
  (table) => [
    index('ledger_postings_entry').on(table.entry),
    index('ledger_postings_account').on(table.account),
  ],
)

export const ledgerReservations = pgTable(
  'ledger_reservations',
  {
    id: text('id').primaryKey(),
    organisationId: text('organisation_id').notNull(),
    budgets: jsonb('budgets').$type<{ budget: string; period: string }[]>().notNull(),
    currency: text('currency').notNull(),
    priceMicros: bigint('price_micros', { mode: 'bigint' }).notNull(),
    expiresAt: moment('expires_at').notNull(),
    /** Null while it is open. */
    closing: jsonb('closing').$type<{ outcome: string; chargedMicros: string; forgoneMicros: string }>(),
  },
  (table) => [index('ledger_reservations_expiry').on(table.expiresAt)],
)
