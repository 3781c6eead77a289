import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '@deos/service'
import { eq, lte, sql } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import { type EventCause, snapshots } from '../database/schema/index.ts'
import { currentScope } from '../database/transactions.ts'
import { EventConflictError, type EventStore, type FoldedStream, type NewEvent } from './event-store.ts'

/** How a state lies in the log. */
export interface StreamDefinition<State, Event> {
  readonly stream: FoldedStream
  readonly empty: State
  evolve(state: State, event: Event): State
  /** For snapshots; plain JSON. */
  store(state: State): unknown
  /** Null if it can no longer be read; then everything is folded from the first event. */
  restore(stored: unknown): State | null
  /** @param state - after the event */
  describe(event: Event, state: State): Omit<NewEvent, 'cause' | 'data'>
}

export interface EventSourcedParts {
  readonly database: Database
  readonly store: EventStore
  readonly logger: Logger
}

export interface EventSourcedSettings {
  /** Events between snapshots. */
  readonly snapshotEvery: number
  /** How often others' events are looked for when nothing is heard of any. */
  readonly lookEveryMs: number
  /** How often a decision is made anew because others were faster. */
  readonly mostAttempts: number
}

export const defaultEventSourced: EventSourcedSettings = {
  snapshotEvery: 500,
  lookEveryMs: 1000,
  mostAttempts: 20,
}

/** Runs in the transaction that appends the events; `state` is the one after them. */
export type Also<State, Event> = (queries: Queries, events: readonly Event[], state: State) => Promise<void>

interface Folded<State> {
  readonly state: State
  readonly version: number
}

const rowsAtOnce = 1000

/** A state that is a fold of a stream, and the way to change it. All control planes come to the same. */
export class EventSourced<State, Event> {
  readonly #definition: StreamDefinition<State, Event>
  readonly #parts: EventSourcedParts
  readonly #settings: EventSourcedSettings
  readonly #listeners = new Set<() => void>()
  #folded: Folded<State>
  #snapshotVersion = 0
  /** What was asked, one after another. */
  #queue: Promise<unknown> = Promise.resolve()
  /** A look that was asked for and has not begun. */
  #look: Promise<void> | null = null
  #stopListening: (() => void) | null = null
  #timer: NodeJS.Timeout | null = null
  #failing = false
  #stopped = false

  constructor(
    definition: StreamDefinition<State, Event>,
    parts: EventSourcedParts,
    settings: EventSourcedSettings = defaultEventSourced,
  ) {
    this.#definition = definition
    this.#parts = parts
    this.#settings = settings
    this.#folded = { state: definition.empty, version: 0 }
  }

  /** As far as this process has folded. */
  get state(): State {
    return this.#folded.state
  }

  /** Number of events folded. */
  get version(): number {
    return this.#folded.version
  }

  /** Loads what there is, then follows what is appended. */
  async start(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#restore()
      await this.#fold()
      await this.#snapshot()
    })
    const { stream } = this.#definition
    this.#stopListening = this.#parts.database.listen('events', (payload) => {
      if (payload === stream || payload === '') void this.#lookByItself()
    })
    this.#scheduleLook()
  }

  /** Folds everything that was committed before the call. */
  refresh(): Promise<void> {
    refuseInTransaction()
    this.#look ??= this.#inTurn(async () => {
      this.#look = null
      await this.#fold()
    })
    return this.#look
  }

  /**
   * Decides on everything committed so far and appends; if somebody else was faster, decides again.
   *
   * @param decide - what is to happen; whatever it throws is thrown
   * @param also - runs in the same transaction, before the events are appended; may run several times. Without events
   * nothing is appended, and it still runs
   * @returns the events that were appended
   * @throws EventConflictError if others were faster each time
   */
  change(
    cause: EventCause,
    decide: (state: State) => readonly Event[],
    also?: Also<State, Event>,
  ): Promise<readonly Event[]> {
    refuseInTransaction()
    return this.#inTurn(() => this.#change(cause, decide, also))
  }

  /** @returns stops telling */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#stopListening?.()
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#queue
  }

  async #change(
    cause: EventCause,
    decide: (state: State) => readonly Event[],
    also: Also<State, Event> | undefined,
  ): Promise<readonly Event[]> {
    for (let attempt = 1; ; attempt += 1) {
      await this.#fold()
      const before = this.#folded
      const events = decide(before.state)
      if (events.length === 0 && also === undefined) return events
      try {
        const after = await this.#append(before, cause, events, also)
        this.#advance(after)
        await this.#snapshot()
        return events
      } catch (error) {
        const overtaken = error instanceof EventConflictError || (also && (await this.#isBehind(before)))
        if (!overtaken || attempt === this.#settings.mostAttempts) throw error
        await sleep(Math.random() * attempt * 2)
      }
    }
  }

  async #append(
    before: Folded<State>,
    cause: EventCause,
    events: readonly Event[],
    also: Also<State, Event> | undefined,
  ): Promise<Folded<State>> {
    const definition = this.#definition
    const { database, store } = this.#parts
    let { state } = before
    const rows = events.map((event) => {
      // As everybody else will read it.
      const data = JSON.parse(JSON.stringify(event)) as Event
      state = definition.evolve(state, data)
      return { ...definition.describe(data, state), data, cause }
    })
    await database.transaction(async (queries) => {
      if (also && rows.length > 0) await store.requireVersion(queries, definition.stream, before.version)
      await also?.(queries, events, state)
      await store.append(queries, definition.stream, before.version, rows)
    })
    return { state, version: before.version + rows.length }
  }

  /** Whether a refusal by the database may come from what others have changed meanwhile. */
  async #isBehind({ version }: Folded<State>): Promise<boolean> {
    await this.#fold()
    return this.#folded.version !== version
  }

  async #fold(): Promise<void> {
    const definition = this.#definition
    for (;;) {
      let { state, version } = this.#folded
      const rows = await this.#parts.store.readStream(definition.stream, version, rowsAtOnce)
      for (const row of rows) {
        if (row.version !== version + 1) {
          throw new Error(
            `Event ${row.version} of ${definition.stream} follows on ${version}: the log has a gap.`,
          )
        }
        state = definition.evolve(state, row.data as Event)
        version = row.version
      }
      this.#advance({ state, version })
      if (rows.length < rowsAtOnce) return
    }
  }

  #advance(folded: Folded<State>): void {
    if (folded.version === this.#folded.version) return
    this.#folded = folded
    for (const listener of [...this.#listeners]) {
      try {
        listener()
      } catch (error) {
        this.#parts.logger.error({ err: error }, `Something that follows ${this.#definition.stream} failed.`)
      }
    }
  }

  async #restore(): Promise<void> {
    const definition = this.#definition
    const [snapshot] = await this.#parts.database.queries
      .select()
      .from(snapshots)
      .where(eq(snapshots.stream, definition.stream))
    if (snapshot === undefined || snapshot.version <= this.#folded.version) return
    const state = definition.restore(snapshot.state)
    if (state === null) return
    this.#snapshotVersion = snapshot.version
    this.#advance({ state, version: snapshot.version })
  }

  /** Of what is committed; it spares others the folding, so that it may fail. */
  async #snapshot(): Promise<void> {
    const { state, version } = this.#folded
    if (version - this.#snapshotVersion < this.#settings.snapshotEvery) return
    this.#snapshotVersion = version
    const { stream } = this.#definition
    const row = { version, state: this.#definition.store(state), at: sql`now()` }
    try {
      await this.#parts.database.queries
        .insert(snapshots)
        .values({ stream, ...row })
        .onConflictDoUpdate({ target: snapshots.stream, set: row, setWhere: lte(snapshots.version, version) })
    } catch (error) {
      this.#parts.logger.warn({ err: error, version }, `No snapshot of ${stream} could be stored.`)
    }
  }

  #scheduleLook(): void {
    if (this.#stopped) return
    this.#timer = setTimeout(async () => {
      await this.#lookByItself()
      this.#scheduleLook()
    }, this.#settings.lookEveryMs)
    this.#timer.unref()
  }

  async #lookByItself(): Promise<void> {
    if (this.#stopped) return
    try {
      await this.refresh()
      this.#failing = false
    } catch (error) {
      if (!this.#failing) {
        this.#parts.logger.warn({ err: error }, `${this.#definition.stream} cannot be followed; trying on.`)
      }
      this.#failing = true
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work)
    this.#queue = result.catch(() => {})
    return result
  }
}

/** It would wait for itself. */
function refuseInTransaction(): void {
  if (currentScope() !== null) throw new Error('State is changed and looked up outside of transactions.')
}
