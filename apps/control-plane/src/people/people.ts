import type { AccessGrant, AnswerOf, Handlers, Routes } from '@deos/api'
import type { IdSource } from '@deos/domain'
import type { Logger } from '@deos/service'
import type { Database } from '../database/database.ts'
import type { Caller } from '../http/caller.ts'
import type { CredentialSources } from '../http/credentials.ts'
import { accessOf } from './access.ts'
import { Accounts } from './accounts.ts'
import { ApiKeys } from './api-keys.ts'
import { type AttemptLimitOptions, AttemptLimits, defaultAttemptLimits } from './attempt-limits.ts'
import { invitationHandlers } from './invitation-handlers.ts'
import { keyHandlers } from './key-handlers.ts'
import { consoleLinks } from './links.ts'
import { memberHandlers } from './member-handlers.ts'
import { Memberships } from './memberships.ts'
import { organisationHandlers } from './organisation-handlers.ts'
import type { PeopleParts, RemainingOf, SpentOf } from './parts.ts'
import { projectHandlers } from './project-handlers.ts'
import { sessionHandlers } from './session-handlers.ts'
import { settingsHandlers } from './settings-handlers.ts'
import { Setup } from './setup.ts'
import type { EventTeller } from './told-events.ts'

export interface PeopleOptions {
  /** Signs cookies; the same for all control planes of the installation. */
  readonly sessionSecret: string
  /** Where people reach the console: `https://deos.example.org`. */
  readonly publicUrl: string
  readonly attemptLimits?: AttemptLimitOptions
}

export interface PeopleCollaborators {
  readonly database: Database
  readonly events: EventTeller
  readonly ids: IdSource
  readonly now: () => Date
  readonly logger: Logger
  readonly version: () => AnswerOf<Routes['session']['version']>
  /** Left out, nothing was spent. */
  readonly spentOf?: SpentOf
  readonly remainingOf: RemainingOf
}

type PeopleGroups = 'session' | 'organisations' | 'projects' | 'members' | 'invitations' | 'keys' | 'settings'

export type PeopleHandlers = Pick<Handlers<Routes, Caller>, PeopleGroups>

/** People, and what belongs to them: organisations, projects, keys and settings. */
export interface People {
  readonly handlers: PeopleHandlers
  /** For the server's credentials; machines and the gateway's token come from elsewhere. */
  readonly credentials: Pick<CredentialSources, 'sessionOf' | 'membershipsOf' | 'keyOf'>
  readonly setup: Setup
  readonly keys: ApiKeys
  /** What a secret of the digest allows at gateways; null if it is unknown, expired or revoked. */
  readonly accessOf: (digest: string) => Promise<AccessGrant | null>
}

const nothingSpent: SpentOf = async () => new Map()

export function createPeople(options: PeopleOptions, collaborators: PeopleCollaborators): People {
  const { publicUrl, sessionSecret, attemptLimits = defaultAttemptLimits } = options
  const { database, events, ids, now, logger, spentOf = nothingSpent } = collaborators
  const accounts = new Accounts({ secret: sessionSecret, publicUrl }, { database, ids, logger })
  const memberships = new Memberships(database, now)
  const links = consoleLinks(publicUrl)
  const keys = new ApiKeys({ database, events, ids, now })
  const setup = new Setup({ database, accounts, events, links, ids, now })
  const limits = new AttemptLimits(attemptLimits)
  const parts: PeopleParts = { ...collaborators, spentOf, accounts, memberships, setup, limits, links }
  return {
    handlers: {
      session: sessionHandlers(parts),
      organisations: organisationHandlers(parts),
      projects: projectHandlers(parts),
      members: memberHandlers(parts),
      invitations: invitationHandlers(parts),
      keys: keyHandlers(parts),
      settings: settingsHandlers(parts),
    },
    credentials: {
      sessionOf: (cookie) => accounts.sessionOf(cookie),
      membershipsOf: (user) => memberships.seen(user),
      keyOf: (digest) => keys.keyOf(digest),
    },
    setup,
    keys,
    accessOf: accessOf(database, keys, now),
  }
}
