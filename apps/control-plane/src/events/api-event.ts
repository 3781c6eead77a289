import type { ApiEvent, EventType } from '@deos/api'
import type { DeploymentEvent, FleetEvent } from '@deos/fleet'
import { deploymentEventData } from './deployment-event-data.ts'
import { eventMessage } from './event-message.ts'
import type { StoredEvent } from './event-store.ts'
import { fleetEventData } from './fleet-event-data.ts'

/** A stored event as the API tells it. */
export function apiEventOf(row: StoredEvent): ApiEvent {
  const type = row.type as EventType
  const data = dataOf(row)
  return {
    sequence: row.sequence,
    at: row.at.toISOString(),
    organisationId: row.organisationId,
    cause: row.cause,
    type,
    data,
    message: eventMessage(type, data),
  } as ApiEvent
}

/** Streams that state is folded from hold events of that state; the others hold what the API tells. */
function dataOf({ stream, data }: StoredEvent): ApiEvent['data'] {
  switch (stream) {
    case 'fleet':
      return fleetEventData(data as FleetEvent)
    case 'deployments':
      return deploymentEventData(data as DeploymentEvent)
    default:
      return data as ApiEvent['data']
  }
}
