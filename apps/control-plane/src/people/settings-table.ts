import type { Budget, Settings } from '@deos/api'
import type { OrganisationId } from '@deos/domain'
import { eq } from 'drizzle-orm'
import type { Queries } from '../database/database.ts'
import { settings } from '../database/schema/index.ts'
import { invalid } from './people-error.ts'

export type SettingsRow = typeof settings.$inferSelect

export async function settingsOf(queries: Queries, organisation: OrganisationId): Promise<SettingsRow> {
  const [row] = await queries.select().from(settings).where(eq(settings.organisationId, organisation))
  if (row === undefined) throw new Error(`Organisation ${organisation} has no settings.`)
  return row
}

export async function currencyOf(queries: Queries, organisation: OrganisationId): Promise<string> {
  return (await settingsOf(queries, organisation)).currency
}

export const shownSettings = ({ organisationId: _, updatedAt, ...row }: SettingsRow): Settings => ({
  ...row,
  updatedAt: updatedAt.toISOString(),
})

/** @throws ValidationError if the limit is in another currency than the organisation pays with */
export function checkCurrency(
  amount: { readonly currency: string } | null | undefined,
  currency: string,
  field: string,
): void {
  if (amount === null || amount === undefined || amount.currency === currency) return
  throw invalid(`${field}.currency`, `must be ${currency}, the currency of the organisation`)
}

export const checkBudget = (budget: Budget | null | undefined, currency: string): void =>
  checkCurrency(budget?.limit, currency, 'budget.limit')
