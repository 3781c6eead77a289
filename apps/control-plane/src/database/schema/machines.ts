import type { MachineLocation } from '@deos/domain'
import { bigint, doublePrecision, integer, jsonb, pgTable, primaryKey, text } from 'drizzle-orm/pg-core'
import { moment } from './columns.ts'
import type { Price } from './prices.ts'

/** Until when machines count as present; many writes that nothing is lost with. */
export const leases = pgTable('leases', {
  machineId: text('machine_id').primaryKey(),
  incarnation: integer('incarnation').notNull(),
  sequence: bigint('sequence', { mode: 'number' }).notNull(),
  renewedAt: moment('renewed_at').notNull(),
  durationMs: integer('duration_ms').notNull(),
  /** The control plane that heard of the machine; it need not read its own rows. */
  heardBy: text('heard_by').notNull(),
})

/** What the latest heartbeat said, as the API describes it. */
export const machineReports = pgTable('machine_reports', {
  machineId: text('machine_id').primaryKey(),
  incarnation: integer('incarnation').notNull(),
  sequence: bigint('sequence', { mode: 'number' }).notNull(),
  load: jsonb('load').$type<unknown>().notNull(),
  stages: jsonb('stages').$type<unknown>().notNull(),
  assignmentsVersion: bigint('assignments_version', { mode: 'number' }).notNull(),
  reportedAt: moment('reported_at').notNull(),
  heardBy: text('heard_by').notNull(),
})

/** What proves that a process is the machine. Some of earlier incarnations are kept, so that those are told the truth. */
export const machineCredentials = pgTable(
  'machine_credentials',
  {
    machineId: text('machine_id').notNull(),
    incarnation: integer('incarnation').notNull(),
    organisationId: text('organisation_id').notNull(),
    /** SHA-256 of the credential, as `sha256:…`. */
    digest: text('digest').notNull().unique(),
    /** Shared with the machine alone: other machines' tickets are keyed by it. 32 bytes in hexadecimal digits. */
    peerSecret: text('peer_secret').notNull(),
    /** Where other machines reach it; null behind a NAT. */
    linkAddress: text('link_address'),
  },
  (table) => [primaryKey({ columns: [table.machineId, table.incarnation] })],
)

/** What operators say of a machine; it beats what the machine says itself. */
export const machineSettings = pgTable('machine_settings', {
  machineId: text('machine_id').primaryKey(),
  name: text('name'),
  location: jsonb('location').$type<MachineLocation>(),
  pricePerHour: jsonb('price_per_hour').$type<Price>(),
  updatedAt: moment('updated_at').notNull(),
})

export const links = pgTable(
  'links',
  {
    from: text('from_machine').notNull(),
    to: text('to_machine').notNull(),
    roundTripMs: doublePrecision('round_trip_ms').notNull(),
    bytesPerSecond: doublePrecision('bytes_per_second').notNull(),
    measuredAt: moment('measured_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.from, table.to] })],
)

/** What a join token is beside what the fleet's events say of it. */
export const joinTokenDetails = pgTable('join_token_details', {
  id: text('id').primaryKey(),
  organisationId: text('organisation_id').notNull(),
  prefix: text('prefix').notNull(),
  location: jsonb('location').$type<MachineLocation>(),
})
