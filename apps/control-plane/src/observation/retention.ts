import { and, eq, isNotNull, lt, sql } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import {
  apiKeys,
  events,
  idempotentAnswers,
  logLines,
  requestRecords,
  settings,
} from '../database/schema/index.ts'
import { thinSamples } from './samples.ts'

const dayMs = 24 * 60 * 60_000
const logDays = 7
const answerDays = 1

/** Forgets what is older than organisations want it kept. Events from which state is folded stay. */
export async function forgetOld(database: Database, now: Date): Promise<void> {
  const { queries } = database
  const ago = (days: number) => new Date(now.getTime() - days * dayMs)
  const organisations = await queries
    .select({
      id: settings.organisationId,
      requestLogDays: settings.requestLogDays,
      eventDays: settings.eventDays,
    })
    .from(settings)
  for (const { id, requestLogDays, eventDays } of organisations) {
    await queries
      .delete(requestRecords)
      .where(and(eq(requestRecords.organisationId, id), lt(requestRecords.at, ago(requestLogDays))))
    await queries
      .delete(events)
      .where(
        and(eq(events.organisationId, id), sql`${events.version} is null`, lt(events.at, ago(eventDays))),
      )
  }
  await queries.delete(logLines).where(lt(logLines.at, ago(logDays)))
  await queries.delete(idempotentAnswers).where(lt(idempotentAnswers.createdAt, ago(answerDays)))
  await queries.delete(apiKeys).where(and(isNotNull(apiKeys.userId), lt(apiKeys.expiresAt, ago(answerDays))))
  await thinSamples(database, now)
}
