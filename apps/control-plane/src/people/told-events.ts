import type { ApiEventOf, EventType } from '@deos/api'
import type { OrganisationId } from '@deos/domain'
import type { Queries } from '../database/database.ts'
import type { EventCause } from '../database/schema/index.ts'

/** Something that happened to people, projects, keys and settings; nothing is folded from it. */
export interface ToldEvent {
  readonly type: EventType
  readonly organisation: OrganisationId
  readonly data: unknown
  readonly cause: EventCause
  readonly machine: null
  readonly deployment: null
  readonly atMs: number
}

/** The part of the event store that is needed here. */
export interface EventTeller {
  tell(queries: Queries, events: readonly ToldEvent[]): Promise<void>
}

/** To whom it happened, by whom and when. */
export interface Circumstance {
  readonly organisation: OrganisationId
  readonly cause: EventCause
  readonly at: Date
}

export const toldEvent = <T extends EventType>(
  type: T,
  data: ApiEventOf<T>['data'],
  { organisation, cause, at }: Circumstance,
): ToldEvent => ({ type, organisation, data, cause, machine: null, deployment: null, atMs: at.getTime() })
