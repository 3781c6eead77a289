import type { AnswerOf, Routes } from '@deos/api'
import type { IdSource, OrganisationId } from '@deos/domain'
import type { Database, Queries } from '../database/database.ts'
import type { Limit } from '../observation/budgets.ts'
import type { Accounts } from './accounts.ts'
import type { AttemptLimits } from './attempt-limits.ts'
import type { Links } from './links.ts'
import type { Memberships } from './memberships.ts'
import type { Setup } from './setup.ts'
import type { EventTeller } from './told-events.ts'

/** What was spent, in millionths, in each budget's present period; budgets that are missing spent nothing. */
export type SpentOf = (limits: readonly Limit[], currency: string) => Promise<ReadonlyMap<string, bigint>>

/** What an organisation still has; it cannot be closed before all is gone. */
export type RemainingOf = (
  queries: Queries,
  organisation: OrganisationId,
) => Promise<{ readonly machines: number; readonly deployments: number }>

/** What the handlers of people and what belongs to them work with. */
export interface PeopleParts {
  readonly database: Database
  readonly events: EventTeller
  readonly accounts: Accounts
  readonly memberships: Memberships
  readonly setup: Setup
  readonly limits: AttemptLimits
  readonly links: Links
  readonly ids: IdSource
  readonly now: () => Date
  readonly version: () => AnswerOf<Routes['session']['version']>
  readonly spentOf: SpentOf
  readonly remainingOf: RemainingOf
}
