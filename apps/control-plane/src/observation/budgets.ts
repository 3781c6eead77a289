import type { Budget, KeyId } from '@deos/api'
import type { OrganisationId, ProjectId } from '@deos/domain'
import {
  type BudgetId,
  type BudgetLevel,
  type BudgetPeriod,
  budgetAccounts,
  budgetId,
  type Currency,
  currency,
  money,
} from '@deos/ledger'
import { inArray } from 'drizzle-orm'
import type { Queries } from '../database/database.ts'
import { ledgerBalances } from '../database/schema/index.ts'

export const keyBudget = (id: KeyId | string): BudgetId => budgetId(`key:${id}`)
export const projectBudget = (id: ProjectId | string): BudgetId => budgetId(`project:${id}`)
export const organisationBudget = (id: OrganisationId | string): BudgetId => budgetId(`organisation:${id}`)

/** A budget, or null where nothing limits; then all that was ever spent is counted. */
export interface Limit {
  readonly budget: BudgetId
  readonly limit: Budget | null
}

/** The stretch of a budget that a moment falls into, in UTC; weeks begin on Monday and are numbered by ISO 8601. */
export function periodAt(limit: Budget | null, at: Date): string {
  const day = at.toISOString().slice(0, 10)
  switch (limit?.period) {
    case 'day':
      return day
    case 'week':
      return weekOf(at)
    case 'month':
      return day.slice(0, 7)
    default:
      return 'always'
  }
}

function weekOf(at: Date): string {
  const dayMs = 86_400_000
  const thursday = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()))
  thursday.setUTCDate(thursday.getUTCDate() + 3 - ((thursday.getUTCDay() + 6) % 7))
  const year = thursday.getUTCFullYear()
  const week = 1 + Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / (7 * dayMs))
  return `${year}-W${String(week).padStart(2, '0')}`
}

/** A level of a reservation. A limit in another currency than is paid in lets nothing through. */
export function levelAt({ budget, limit }: Limit, at: Date, paidIn: Currency): BudgetLevel {
  const period = periodAt(limit, at)
  if (limit === null) return { budget, period, limit: null }
  const { currency: of, microUnits } = limit.limit
  return { budget, period, limit: money(currency(of) === paidIn ? BigInt(microUnits) : 0n, paidIn) }
}

/** What was spent in each limit's present period, what is held for running requests included: by budget. */
export async function spentOf(
  queries: Queries,
  limits: readonly Limit[],
  at: Date,
  paidIn: Currency,
): Promise<ReadonlyMap<BudgetId, bigint>> {
  const accounts = limits.map(({ budget, limit }) => {
    const period: BudgetPeriod = { budget, period: periodAt(limit, at) }
    const { spent, held } = budgetAccounts(period, paidIn)
    return { budget, ids: [spent, held] as const }
  })
  const wanted = accounts.flatMap(({ ids }) => ids)
  if (wanted.length === 0) return new Map()
  const rows = await queries
    .select({ account: ledgerBalances.account, micros: ledgerBalances.micros })
    .from(ledgerBalances)
    .where(inArray(ledgerBalances.account, wanted))
  const balances = new Map(rows.map(({ account, micros }) => [account, micros]))
  return new Map(
    accounts.map(({ budget, ids }) => [
      budget,
      ids.reduce((sum, account) => sum + (balances.get(account) ?? 0n), 0n),
    ]),
  )
}
