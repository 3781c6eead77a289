import { deploymentId, machineId, organisationId } from '@deos/domain'
import type { Database } from '../../database/database.ts'
import { testLogger } from '../../database/testing/databases.ts'
import {
  defaultEventSourced,
  EventSourced,
  type EventSourcedSettings,
  type StreamDefinition,
} from '../event-sourced.ts'
import { EventStore } from '../event-store.ts'

export interface Counted {
  readonly by: string
  readonly number: number
}

/** What was counted, in order. */
export type Tally = readonly Counted[]

export const acme = organisationId('org-acme')

export const tallyStream: StreamDefinition<Tally, Counted> = {
  stream: 'fleet',
  empty: [],
  evolve: (tally, event) => [...tally, event],
  store: (tally) => ({ format: 1, tally }),
  restore: (stored) => {
    const { format, tally } = stored as { format: number; tally: Tally }
    return format === 1 ? tally : null
  },
  describe: ({ by, number }) => ({
    type: 'machine.drained',
    organisation: acme,
    machine: machineId(by),
    deployment: deploymentId('deployment-1'),
    atMs: 1000 + number,
  }),
}

export const system = { kind: 'system' } as const

/** A state that looks for others' events only when it hears of them or is asked to. */
export const tallyOf = (database: Database, settings: Partial<EventSourcedSettings> = {}) =>
  new EventSourced(
    tallyStream,
    { database, store: new EventStore(database), logger: testLogger },
    { ...defaultEventSourced, lookEveryMs: 3_600_000, ...settings },
  )
