import type { AnsweredRequest } from '@deos/api'
import { and, inArray, isNull, lt, or, sql } from 'drizzle-orm'
import type { Queries } from '../database/database.ts'
import { apiKeys, requestRecords, usageDays } from '../database/schema/index.ts'

/** @returns those that were not there yet */
export async function keepRecords(
  queries: Queries,
  requests: readonly AnsweredRequest[],
): Promise<readonly AnsweredRequest[]> {
  const rows = await queries
    .insert(requestRecords)
    .values(requests.map(rowOf))
    .onConflictDoNothing()
    .returning({ id: requestRecords.id })
  const fresh = new Set(rows.map(({ id }) => id))
  return requests.filter(({ id }) => fresh.delete(id))
}

/** Adds requests to the sums of their days, and marks their keys as used. */
export async function countUsage(queries: Queries, requests: readonly AnsweredRequest[]): Promise<void> {
  const sums = new Map<string, typeof usageDays.$inferInsert>()
  for (const request of requests) addTo(sums, request)
  if (sums.size === 0) return
  // In one order, so that two batches never wait for each other.
  const rows = [...sums.keys()].sort().map((key) => sums.get(key)!)
  await queries
    .insert(usageDays)
    .values(rows)
    .onConflictDoUpdate({
      target: [
        usageDays.organisationId,
        usageDays.day,
        usageDays.projectId,
        usageDays.keyId,
        usageDays.model,
      ],
      set: {
        requests: sql`${usageDays.requests} + excluded.requests`,
        failedRequests: sql`${usageDays.failedRequests} + excluded.failed_requests`,
        promptTokens: sql`${usageDays.promptTokens} + excluded.prompt_tokens`,
        cachedPromptTokens: sql`${usageDays.cachedPromptTokens} + excluded.cached_prompt_tokens`,
        completionTokens: sql`${usageDays.completionTokens} + excluded.completion_tokens`,
        costMicros: sql`${usageDays.costMicros} + excluded.cost_micros`,
      },
    })
  await markUsed(queries, requests)
}

/** To the minute: a busy key is not written for every request. */
async function markUsed(queries: Queries, requests: readonly AnsweredRequest[]): Promise<void> {
  const keys = [...new Set(requests.flatMap(({ keyId }) => keyId ?? []))].sort()
  if (keys.length === 0) return
  const lastMs = Math.max(...requests.map(({ at }) => Date.parse(at)))
  await queries
    .update(apiKeys)
    .set({ lastUsedAt: new Date(lastMs) })
    .where(
      and(
        inArray(apiKeys.id, keys),
        or(isNull(apiKeys.lastUsedAt), lt(apiKeys.lastUsedAt, new Date(lastMs - 60_000))),
      ),
    )
}

const rowOf = ({
  cost,
  at,
  reserved: _,
  ...request
}: AnsweredRequest): typeof requestRecords.$inferInsert => ({
  ...request,
  timeline: request.timeline,
  at: new Date(at),
  currency: cost.currency,
  costMicros: BigInt(cost.microUnits),
})

function addTo(sums: Map<string, typeof usageDays.$inferInsert>, request: AnsweredRequest): void {
  const { organisationId, projectId, keyId, model, status, cost } = request
  const place = { organisationId, day: request.at.slice(0, 10), projectId, keyId: keyId ?? '', model }
  const key = Object.values(place).join('\n')
  const sum = sums.get(key) ?? {
    ...place,
    requests: 0,
    failedRequests: 0,
    promptTokens: 0,
    cachedPromptTokens: 0,
    completionTokens: 0,
    costMicros: 0n,
  }
  sums.set(key, {
    ...sum,
    requests: sum.requests + 1,
    failedRequests: sum.failedRequests + (status >= 400 ? 1 : 0),
    promptTokens: sum.promptTokens + request.promptTokens,
    cachedPromptTokens: sum.cachedPromptTokens + request.cachedPromptTokens,
    completionTokens: sum.completionTokens + request.completionTokens,
    costMicros: sum.costMicros + BigInt(cost.microUnits),
  })
}
