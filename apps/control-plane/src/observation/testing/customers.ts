import type { AnsweredRequest, Budget, RequestId } from '@deos/api'
import { organisationId, projectId } from '@deos/domain'
import type { Database } from '../../database/database.ts'
import { apiKeys, organisations, projects, settings } from '../../database/schema/index.ts'

export const acme = organisationId('org-acme')
export const project = projectId('project-1')
export const keyId = 'key-1'
export const start = new Date('2026-01-05T09:30:00Z')

const unlimited = { requestsPerMinute: null, tokensPerMinute: null }

export const dollars = (amount: number) => ({
  currency: 'USD',
  microUnits: String(Math.round(amount * 1_000_000)),
})

/** An organisation with one project and one key. */
export async function addCustomer(
  { queries }: Database,
  budgets: { readonly key?: Budget; readonly project?: Budget; readonly organisation?: Budget } = {},
): Promise<void> {
  const createdAt = start
  await queries.insert(organisations).values({ id: acme, slug: 'acme', name: 'Acme', createdAt })
  await queries.insert(settings).values({
    organisationId: acme,
    currency: 'USD',
    budget: budgets.organisation ?? null,
    tokenPrices: null,
    placementPolicy: { regions: null, providers: null },
    hubUrl: null,
    requestLogDays: 30,
    eventDays: 30,
    updatedAt: createdAt,
  })
  await queries.insert(projects).values({
    id: project,
    organisationId: acme,
    name: 'default',
    title: 'Default',
    budget: budgets.project ?? null,
    rateLimit: unlimited,
    createdAt,
  })
  await queries.insert(apiKeys).values({
    id: keyId,
    organisationId: acme,
    projectId: project,
    name: 'first',
    prefix: 'deos_k_a1b2',
    digest: `sha256:${'0f'.repeat(32)}`,
    scopes: ['inference'],
    budget: budgets.key ?? null,
    rateLimit: unlimited,
    createdAt,
  })
}

export const answered = (id: string, changes: Partial<AnsweredRequest> = {}): AnsweredRequest =>
  ({
    id: id as RequestId,
    organisationId: acme,
    projectId: project,
    keyId,
    userId: null,
    model: 'nano-chat',
    deploymentId: 'deployment-1',
    replicaId: 'replica-1',
    at: start.toISOString(),
    status: 200,
    streamed: false,
    promptTokens: 10,
    cachedPromptTokens: 4,
    completionTokens: 6,
    cost: dollars(0),
    ttftMs: 20,
    tpotMs: 5,
    durationMs: 50,
    interruptions: 0,
    timeline: [{ phase: 'decode', startMs: 20, endMs: 50 }],
    hops: [],
    split: null,
    reserved: false,
    ...changes,
  }) as AnsweredRequest
