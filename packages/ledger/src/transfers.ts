import type { OrganisationId } from '@deos/domain'
import { externalAccount, organisationAccounts, payableAccount, revenueAccount } from './accounts.ts'
import type { Transfer } from './commands.ts'
import type { Money } from './money.ts'
import { posting } from './postings.ts'

/** An organisation paid in, through `source`: `stripe`, `bank`, `gift`. */
export function deposit(key: string, organisation: OrganisationId, amount: Money, source: string): Transfer {
  const { micros, currency } = amount
  const from = externalAccount(source, currency)
  const to = organisationAccounts(organisation, currency).available
  return { kind: 'transfer', key, postings: [posting(from, -micros), posting(to, micros)] }
}

/** An organisation gets back, out of what the platform earned, what it was charged wrongly. */
export function refund(key: string, organisation: OrganisationId, amount: Money, revenue: string): Transfer {
  const { micros, currency } = amount
  const from = revenueAccount(revenue, currency)
  const to = organisationAccounts(organisation, currency).available
  return { kind: 'transfer', key, postings: [posting(from, -micros), posting(to, micros)] }
}

/** A supplier was paid, through `destination`, at most what it earned. */
export function payout(key: string, supplier: OrganisationId, amount: Money, destination: string): Transfer {
  const { micros, currency } = amount
  const from = payableAccount(supplier, currency)
  const to = externalAccount(destination, currency)
  return { kind: 'transfer', key, postings: [posting(from, -micros), posting(to, micros)] }
}
