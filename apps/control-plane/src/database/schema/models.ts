import type { ModelFile, ModelSource } from '@deos/api'
import { sql } from 'drizzle-orm'
import { bigint, integer, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { moment } from './columns.ts'

/** Removed ones stay while blobs are shared and for the log. */
export const models = pgTable(
  'models',
  {
    id: text('id').primaryKey(),
    organisationId: text('organisation_id').notNull(),
    name: text('name').notNull(),
    source: jsonb('source').$type<ModelSource>().notNull(),
    /** SHA-256 that was asked for, if any. */
    wantedDigest: text('wanted_digest'),
    state: text('state').$type<'registering' | 'downloading' | 'ready' | 'failed'>().notNull(),
    reason: text('reason').notNull(),
    reasonSince: moment('reason_since').notNull(),
    progress: jsonb('progress').$type<{
      doneBytes: number
      totalBytes: number | null
      bytesPerSecond: number | null
    }>(),
    shape: jsonb('shape').$type<unknown>(),
    /** What the planner needs, by precision; `native` at least. */
    footprints: jsonb('footprints').$type<unknown>(),
    fingerprint: text('fingerprint'),
    files: jsonb('files').$type<ModelFile[]>(),
    sizeBytes: bigint('size_bytes', { mode: 'number' }),
    digest: text('digest'),
    createdAt: moment('created_at').notNull(),
    removedAt: moment('removed_at'),
  },
  (table) => [
    uniqueIndex('models_name').on(table.organisationId, table.name).where(sql`${table.removedAt} is null`),
  ],
)

/** Content-addressed bytes. */
export const blobs = pgTable('blobs', {
  digest: text('digest').primaryKey(),
  sizeBytes: bigint('size_bytes', { mode: 'number' }).notNull(),
  pieceBytes: integer('piece_bytes').notNull(),
  /** Digests of all pieces, one after another. */
  pieces: jsonb('pieces').$type<string[]>().notNull(),
  /** Where control planes read it: a file of their machine, or of a folder they share. */
  path: text('path').notNull(),
})
