import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import type { ApiEventOf, EventType } from '@deos/api'
import { type BlobPieces, checkPieces } from '@deos/blobs'
import { type ModelId, modelId, type OrganisationId, organisationId } from '@deos/domain'
import { and, asc, eq, getTableColumns, gt, inArray, isNull, sql } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import { blobs, type EventCause, models, settings } from '../database/schema/index.ts'
import type { EventStore } from '../events/event-store.ts'
import type { ModelFacts } from './model-facts.ts'
import {
  type Footprints,
  isFinal,
  type ModelShape,
  type ModelState,
  type Progress,
  type RegisteredModel,
} from './registered-model.ts'

export interface StoredBlobRow {
  readonly blob: BlobPieces
  readonly path: string
}

/** What the work on a model came to. */
export interface ModelResult {
  readonly files: RegisteredModel['files']
  readonly sizeBytes: number
  readonly digest: string
  readonly facts: ModelFacts
  /** What is to be said of its calibration; empty without one. */
  readonly note: string
}

export interface ModelStoreParts {
  readonly database: Database
  readonly events: Pick<EventStore, 'tell'>
  readonly now: () => Date
}

const { footprints: _, removedAt: __, ...columns } = getTableColumns(models)
/** Taken by those who add and remove blobs. Any number, the same in every version. */
const blobLock = 6_037_011

const system: EventCause = { kind: 'system' }

/** Rows of models and blobs. */
export class ModelStore {
  constructor(private readonly parts: ModelStoreParts) {}

  /** All that were not removed. */
  async all(): Promise<readonly RegisteredModel[]> {
    const rows = await this.#queries.select(columns).from(models).where(isNull(models.removedAt))
    return rows.map(modelOfRow)
  }

  async find(id: ModelId): Promise<RegisteredModel | null> {
    const [row] = await this.#queries.select(columns).from(models).where(present(id))
    return row === undefined ? null : modelOfRow(row)
  }

  async findByName(organisation: OrganisationId, name: string): Promise<RegisteredModel | null> {
    const [row] = await this.#queries
      .select(columns)
      .from(models)
      .where(and(eq(models.organisationId, organisation), eq(models.name, name), isNull(models.removedAt)))
    return row === undefined ? null : modelOfRow(row)
  }

  /** By name. @param after - names up to this one are left out */
  async page(
    organisation: OrganisationId,
    filter: { readonly name?: string | undefined; readonly state?: readonly ModelState[] | undefined },
    after: string | null,
    limit: number,
  ): Promise<readonly RegisteredModel[]> {
    const byName = sql`${models.name} collate "C"`
    const rows = await this.#queries
      .select(columns)
      .from(models)
      .where(
        and(
          eq(models.organisationId, organisation),
          isNull(models.removedAt),
          filter.name === undefined ? undefined : eq(models.name, filter.name),
          filter.state === undefined ? undefined : inArray(models.state, [...filter.state]),
          after === null ? undefined : gt(byName, after),
        ),
      )
      .orderBy(asc(byName))
      .limit(limit)
    return rows.map(modelOfRow)
  }

  async footprints(id: ModelId): Promise<Footprints | null> {
    const [row] = await this.#queries
      .select({ footprints: models.footprints })
      .from(models)
      .where(eq(models.id, id))
    return (row?.footprints ?? null) as Footprints | null
  }

  /** @throws the database's error for a unique key if the name is taken */
  async insert(
    model: Pick<RegisteredModel, 'id' | 'organisation' | 'name' | 'source' | 'wantedDigest'>,
    cause: EventCause,
  ): Promise<void> {
    const { id, organisation, name, source, wantedDigest } = model
    await this.#change(id, async (queries, at) => {
      await queries.insert(models).values({
        ...{ id, organisationId: organisation, name, source, wantedDigest },
        ...{ state: 'registering' as const, reason: 'Waits for its turn.', reasonSince: at, createdAt: at },
      })
      await this.#tell(queries, organisation, cause, 'model.registered', { modelId: id, name })
    })
  }

  /** Begins again, from another source if one is given. @returns false if it was removed */
  restart(
    model: RegisteredModel,
    cause: EventCause,
    source: RegisteredModel['source'] = model.source,
  ): Promise<boolean> {
    const reason = 'Goes on where it ended.'
    const to = { state: 'registering' as const, reason, progress: null, again: true }
    return this.#move(model, cause, to, { source })
  }

  /** @returns false if it was removed meanwhile */
  fail(model: RegisteredModel, reason: string): Promise<boolean> {
    return this.#move(model, system, { state: 'failed', reason, progress: null }, {})
  }

  /** How far the work is. @returns false if the model was removed meanwhile */
  async progress(
    model: RegisteredModel,
    now: { readonly state: ModelState; readonly reason: string; readonly progress: Progress | null },
  ): Promise<boolean> {
    return this.#move(model, system, now, {})
  }

  /**
   * @param place - puts files where they stay; called while no blob can be removed, maybe several times
   * @returns false if the model was removed meanwhile
   */
  complete(
    model: RegisteredModel,
    { files, sizeBytes, digest, facts, note }: ModelResult,
    place: (queries: Queries) => Promise<readonly StoredBlobRow[]>,
  ): Promise<boolean> {
    const { shape, footprints, fingerprint } = facts
    const result = { files: [...files], sizeBytes, digest, shape, footprints, fingerprint }
    const ready = {
      state: 'ready' as const,
      reason: `All of it is here.${note && ` ${note}`}`,
      progress: null,
    }
    return this.#move(model, system, ready, result, async (queries) => {
      await queries.execute(sql`select pg_advisory_xact_lock(${blobLock})`)
      for (const { blob, path } of await place(queries)) {
        const row = { ...blob, pieces: [...blob.pieces], path }
        await queries.insert(blobs).values(row).onConflictDoUpdate({ target: blobs.digest, set: row })
      }
    })
  }

  /** @returns false if it was removed already */
  async remove(model: RegisteredModel, cause: EventCause): Promise<boolean> {
    return this.#change(model.id, async (queries, removedAt) => {
      const removed = await queries
        .update(models)
        .set({ removedAt })
        .where(present(model.id))
        .returning({ id: models.id })
      if (removed.length === 0) return false
      await this.#tell(queries, model.organisation, cause, 'model.removed', { modelId: model.id })
      return true
    })
  }

  /** @param discard - removes what lies at a path, while nobody can begin to use it */
  async collectBlobs(discard: (path: string) => Promise<void>): Promise<void> {
    await this.parts.database.transaction(async (queries) => {
      await queries.execute(sql`select pg_advisory_xact_lock(${blobLock})`)
      const unused = await queries
        .delete(blobs)
        .where(
          sql`not exists (select 1 from ${models}, jsonb_array_elements(${models.files}) as file
              where ${models.removedAt} is null and file->>'digest' = ${blobs.digest})`,
        )
        .returning({ path: blobs.path })
      for (const { path } of unused) await discard(path)
    })
  }

  /** @param organisation - that must have a model with it; `null` asks for any */
  async blob(digest: string, organisation: OrganisationId | null): Promise<StoredBlobRow | null> {
    const holds = sql`exists (select 1 from ${models} where ${models.removedAt} is null
      and ${models.organisationId} = ${organisation} and ${models.files} @> ${JSON.stringify([{ digest }])}::jsonb)`
    const [row] = await this.#queries
      .select()
      .from(blobs)
      .where(and(eq(blobs.digest, digest), organisation === null ? undefined : holds))
    return row === undefined ? null : blobOfRow(row)
  }

  /** Where a blob lies that can be read here now. */
  async readableBlob(digest: string, queries: Queries = this.#queries): Promise<StoredBlobRow | null> {
    const [row] = await queries.select().from(blobs).where(eq(blobs.digest, digest))
    return row !== undefined && (await isReadable(row.path, row.sizeBytes)) ? blobOfRow(row) : null
  }

  /** The hub that an organisation takes models from; null is the operator's choice. */
  async hubUrlOf(organisation: OrganisationId): Promise<string | null> {
    const [row] = await this.#queries
      .select({ hubUrl: settings.hubUrl })
      .from(settings)
      .where(eq(settings.organisationId, organisation))
    return row?.hubUrl ?? null
  }

  get #queries(): Queries {
    return this.parts.database.queries
  }

  #move(
    { id, organisation }: RegisteredModel,
    cause: EventCause,
    {
      again = false,
      ...to
    }: {
      readonly state: ModelState
      readonly reason: string
      readonly progress: Progress | null
      /** Whether work begins anew that was over. */
      readonly again?: boolean
    },
    rest: Partial<typeof models.$inferInsert>,
    also?: (queries: Queries) => Promise<void>,
  ): Promise<boolean> {
    return this.#change(id, async (queries, at) => {
      const [before] = await queries
        .select({ state: models.state, reason: models.reason })
        .from(models)
        .where(present(id))
        .for('update')
      if (before === undefined) return false
      // What is told about work when it is over is late.
      if (isFinal(before.state) && !again) return true
      await also?.(queries)
      const since = before.reason === to.reason ? {} : { reasonSince: at }
      await queries
        .update(models)
        .set({ ...rest, ...to, ...since })
        .where(eq(models.id, id))
      if (before.state !== to.state) {
        const { state, reason } = to
        await this.#tell(queries, organisation, cause, 'model.state-changed', {
          modelId: id,
          to: state,
          reason,
        })
      }
      return true
    })
  }

  async #change<T>(id: ModelId, work: (queries: Queries, at: Date) => Promise<T>): Promise<T> {
    const { database, now } = this.parts
    return database.transaction(async (queries) => {
      await database.notify(queries, 'models', id)
      return work(queries, now())
    })
  }

  #tell<T extends EventType>(
    queries: Queries,
    organisation: OrganisationId,
    cause: EventCause,
    type: T,
    data: ApiEventOf<T>['data'],
  ): Promise<void> {
    const about = { organisation, cause, machine: null, deployment: null, atMs: this.parts.now().getTime() }
    return this.parts.events.tell(queries, [{ type, data, ...about }])
  }
}

const present = (id: ModelId) => and(eq(models.id, id), isNull(models.removedAt))

type ModelRow = Omit<typeof models.$inferSelect, 'footprints' | 'removedAt'>

const modelOfRow = ({
  id,
  organisationId: organisation,
  shape,
  files,
  progress,
  ...row
}: ModelRow): RegisteredModel => ({
  ...row,
  id: modelId(id),
  organisation: organisationId(organisation),
  shape: shape as ModelShape | null,
  files: files ?? [],
  progress: progress as Progress | null,
})

function blobOfRow({ path, ...blob }: typeof blobs.$inferSelect): StoredBlobRow {
  checkPieces(blob)
  return { blob, path }
}

/** Whether a file of that size can be read here. */
export async function isReadable(path: string, sizeBytes: number): Promise<boolean> {
  const found = await stat(path).catch(() => null)
  if (found?.isFile() !== true || found.size !== sizeBytes) return false
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  )
}
