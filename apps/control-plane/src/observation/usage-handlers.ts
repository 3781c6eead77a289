import { type Handlers, money, ProblemError, type Routes, type usageDimensions } from '@deos/api'
import { and, asc, eq, gte, lte, type SQL, sql } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { settings, usageDays } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'

type Dimension = (typeof usageDimensions)[number]

const dayMs = 86_400_000
const defaultDays = 30
const mostDays = 3660

const columns = {
  day: usageDays.day,
  project: usageDays.projectId,
  key: usageDays.keyId,
  model: usageDays.model,
} as const

/** Sums come as text: they may exceed what a number holds exactly. */
const total = (column: (typeof usageDays)[AmountColumn]) => sql<string>`sum(${column})::text`
type AmountColumn =
  | 'requests'
  | 'failedRequests'
  | 'promptTokens'
  | 'cachedPromptTokens'
  | 'completionTokens'
  | 'costMicros'

interface Amounts {
  readonly requests: number
  readonly failedRequests: number
  readonly promptTokens: number
  readonly cachedPromptTokens: number
  readonly completionTokens: number
  readonly costMicros: bigint
}

export interface UsageParts {
  readonly database: Database
  readonly now: () => Date
}

export const usageHandlers = ({ database, now }: UsageParts): Pick<Handlers<Routes, Caller>, 'usage'> => ({
  usage: {
    async show({ query }, caller) {
      const organisation = organisationOf(caller)
      const { from, to } = rangeOf(query.from, query.to, now())
      const wanted: (SQL | undefined)[] = [
        eq(usageDays.organisationId, organisation),
        gte(usageDays.day, from),
        lte(usageDays.day, to),
        query.project ? eq(usageDays.projectId, query.project) : undefined,
        query.key ? eq(usageDays.keyId, query.key) : undefined,
        query.model ? eq(usageDays.model, query.model) : undefined,
      ]
      const by = [...new Set(query.by)]
      const [rows, currency] = await Promise.all([
        sumsBy(database, and(...wanted)!, by),
        currencyOf(database, organisation),
      ])
      return {
        from,
        to,
        rows: rows.map(({ day, projectId, keyId, model, ...amounts }) => ({
          day,
          projectId,
          keyId,
          model,
          ...told(amounts, currency),
        })),
        total: told(rows.reduce<Amounts>(add, none), currency),
      }
    },
  },
})

function rangeOf(from: string | undefined, to: string | undefined, now: Date): { from: string; to: string } {
  const end = to ?? now.toISOString().slice(0, 10)
  const start = from ?? new Date(Date.parse(end) - (defaultDays - 1) * dayMs).toISOString().slice(0, 10)
  const days = (Date.parse(end) - Date.parse(start)) / dayMs
  if (days < 0) throw new ProblemError('validation', `from (${start}) is after to (${end}).`)
  if (days > mostDays) {
    throw new ProblemError('validation', `${start} to ${end} is more than ${mostDays} days.`)
  }
  return { from: start, to: end }
}

async function sumsBy(database: Database, wanted: SQL, by: readonly Dimension[]) {
  const grouped = by.map((dimension) => columns[dimension])
  const chosen = (dimension: Dimension) =>
    by.includes(dimension) ? sql<string | null>`${columns[dimension]}` : sql<string | null>`null::text`
  const rows = await database.queries
    .select({
      day: chosen('day'),
      projectId: chosen('project'),
      keyId: chosen('key'),
      model: chosen('model'),
      requests: total(usageDays.requests),
      failedRequests: total(usageDays.failedRequests),
      promptTokens: total(usageDays.promptTokens),
      cachedPromptTokens: total(usageDays.cachedPromptTokens),
      completionTokens: total(usageDays.completionTokens),
      costMicros: total(usageDays.costMicros),
    })
    .from(usageDays)
    .where(wanted)
    .groupBy(...grouped)
    .having(sql`count(*) > 0`)
    .orderBy(...grouped.map((column) => asc(column)))
  return rows.map((row) => ({
    day: row.day,
    projectId: row.projectId,
    // Empty stands for requests without a key.
    keyId: row.keyId === '' ? null : row.keyId,
    model: row.model,
    requests: Number(row.requests),
    failedRequests: Number(row.failedRequests),
    promptTokens: Number(row.promptTokens),
    cachedPromptTokens: Number(row.cachedPromptTokens),
    completionTokens: Number(row.completionTokens),
    costMicros: BigInt(row.costMicros),
  }))
}

const none: Amounts = {
  requests: 0,
  failedRequests: 0,
  promptTokens: 0,
  cachedPromptTokens: 0,
  completionTokens: 0,
  costMicros: 0n,
}

const add = (sum: Amounts, row: Amounts): Amounts => ({
  requests: sum.requests + row.requests,
  failedRequests: sum.failedRequests + row.failedRequests,
  promptTokens: sum.promptTokens + row.promptTokens,
  cachedPromptTokens: sum.cachedPromptTokens + row.cachedPromptTokens,
  completionTokens: sum.completionTokens + row.completionTokens,
  costMicros: sum.costMicros + row.costMicros,
})

const told = ({ costMicros, ...amounts }: Amounts, currency: string) => ({
  ...amounts,
  cost: money(costMicros, currency),
})

/** Of an organisation; `USD` where no settings were made. */
export async function currencyOf(database: Database, organisation: string): Promise<string> {
  const [row] = await database.queries
    .select({ currency: settings.currency })
    .from(settings)
    .where(eq(settings.organisationId, organisation))
  return row?.currency ?? 'USD'
}
