import { createHash } from 'node:crypto'
import { ProblemError } from '@deos/api'
import { and, eq, isNull, lt, sql } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { idempotentAnswers } from '../database/schema/index.ts'

/** An answer as it is sent; text is empty where there is nothing to say. */
export interface WrittenAnswer {
  readonly status: number
  readonly text: string
}

/** A call that its caller gave a key. */
export interface KeyedCall {
  /** Who asks, with the organisation; keys of others are other keys. */
  readonly caller: string
  /** `projects.create` */
  readonly operation: string
  readonly key: string
  /** Parameters, query and body, checked. */
  readonly request: unknown
  /** Whether the answer holds what may be shown once only. */
  readonly holdsSecret: boolean
}

export interface Idempotency {
  /**
   * Runs the call, or answers as it was answered before.
   *
   * @throws ProblemError if the key belongs to another request, the first call still runs, or its answer held a secret
   */
  answer(call: KeyedCall, work: () => Promise<WrittenAnswer>): Promise<WrittenAnswer>
}

/** Answers that hold what is shown once: they are not kept, so that nobody finds secrets in the database. */
export const secretAnswers: ReadonlySet<string> = new Set([
  'invitations.create',
  'joinTokens.create',
  'keys.create',
])

/** A first call that has not answered for so long died with its process. */
const patienceMs = 60_000
const keptMs = 24 * 3_600_000
const retryAfterMs = 1_000

/** Fields in one order, so that the same request has one digest. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return entries.map(([name, field]) => [name, canonical(field)])
}

export const requestDigest = (request: unknown): string =>
  createHash('sha256')
    .update(JSON.stringify(canonical(request)))
    .digest('hex')

type Row = typeof idempotentAnswers.$inferSelect

/** Keeps answers in the database, so that a call may be repeated to another control plane. */
export class StoredIdempotency implements Idempotency {
  readonly #database: Database
  readonly #now: () => Date

  constructor(database: Database, now: () => Date) {
    this.#database = database
    this.#now = now
  }

  async answer(call: KeyedCall, work: () => Promise<WrittenAnswer>): Promise<WrittenAnswer> {
    const digest = requestDigest(call.request)
    const startedAt = this.#now()
    const known = await this.#begin(call, digest, startedAt)
    return known === null ? this.#run(call, startedAt, work) : replay(known, digest)
  }

  /** Drops what nobody asks again for. */
  async forgetOld(): Promise<void> {
    const before = new Date(this.#now().getTime() - keptMs)
    await this.#database.queries.delete(idempotentAnswers).where(lt(idempotentAnswers.createdAt, before))
  }

  /** @returns null if this is the first call, otherwise what is known of the first */
  async #begin(call: KeyedCall, digest: string, startedAt: Date): Promise<Row | null> {
    const { caller, operation: route, key } = call
    const died = new Date(startedAt.getTime() - patienceMs)
    const begun = await this.#database.queries
      .insert(idempotentAnswers)
      .values({ caller, route, key, requestDigest: digest, createdAt: startedAt })
      .onConflictDoUpdate({
        target: [idempotentAnswers.caller, idempotentAnswers.route, idempotentAnswers.key],
        set: { requestDigest: digest, createdAt: startedAt },
        setWhere: sql`${isNull(idempotentAnswers.status)} and ${lt(idempotentAnswers.createdAt, died)}`,
      })
      .returning({ key: idempotentAnswers.key })
    if (begun.length > 0) return null
    const [row] = await this.#database.queries.select().from(idempotentAnswers).where(sameCall(call))
    // The first call failed just now: whoever repeats this one is the first then.
    if (row === undefined) throw stillRunning()
    return row
  }

  async #run(call: KeyedCall, startedAt: Date, work: () => Promise<WrittenAnswer>): Promise<WrittenAnswer> {
    const own = and(sameCall(call), eq(idempotentAnswers.createdAt, startedAt))
    let written: WrittenAnswer
    try {
      written = await work()
    } catch (error) {
      await this.#database.queries.delete(idempotentAnswers).where(own)
      throw error
    }
    const { status, text } = written
    const answer = call.holdsSecret ? null : text
    await this.#database.queries.update(idempotentAnswers).set({ status, answer }).where(own)
    return written
  }
}

const sameCall = ({ caller, operation, key }: KeyedCall) =>
  and(
    eq(idempotentAnswers.caller, caller),
    eq(idempotentAnswers.route, operation),
    eq(idempotentAnswers.key, key),
  )

const stillRunning = (): ProblemError =>
  new ProblemError('idempotency-in-progress', 'The first call with this key has not been answered yet.', {
    hint: 'Send it again in a moment.',
    retryAfterMs,
  })

function replay(row: Row, digest: string): WrittenAnswer {
  if (row.requestDigest !== digest) {
    throw new ProblemError('idempotency-mismatch', 'The key was used for a different request.', {
      hint: 'Use a new key for each thing you create.',
    })
  }
  if (row.status === null) throw stillRunning()
  if (row.answer === null) {
    throw new ProblemError(
      'conflict',
      'This was created already; its secret was shown in the first answer.',
      {
        code: 'SECRET_SHOWN_ALREADY',
        hint: 'If that answer was lost, revoke what was created and create another with a new key.',
      },
    )
  }
  return { status: row.status, text: row.answer }
}
