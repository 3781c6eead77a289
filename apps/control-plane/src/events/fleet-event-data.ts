import type { ApiEvent, JoinTokenId } from '@deos/api'
import type { FleetEvent } from '@deos/fleet'

/** What the API tells of an event of the fleet: no digests, and inventories and measurements stay with the machine. */
export function fleetEventData(event: FleetEvent): ApiEvent['data'] {
  switch (event.type) {
    case 'joinTokenCreated':
      return { joinTokenId: event.token as JoinTokenId }
    case 'joinTokenRevoked':
      return { joinTokenId: event.token as JoinTokenId, reason: event.reason }
    case 'machineJoined': {
      const { machine: machineId, name, location, incarnation, token } = event
      const { region, provider } = location
      const joinTokenId = token as JoinTokenId | null
      return { machineId, name, location: { region, provider }, incarnation, joinTokenId }
    }
    case 'inventoryReported': {
      const { machine: machineId, incarnation, hardwareChanged } = event
      return { machineId, incarnation, hardwareChanged }
    }
    case 'benchmarkReported':
    case 'machineDrained':
      return { machineId: event.machine }
    case 'machineQuarantined':
      return { machineId: event.machine, cause: event.cause, reason: event.reason }
    case 'quarantineReleased':
      return { machineId: event.machine, causes: [...event.causes], reason: event.reason }
    case 'machineCordoned':
    case 'machineUncordoned':
    case 'drainStarted':
    case 'machineRemoved':
      return { machineId: event.machine, reason: event.reason }
    case 'machineWentOffline': {
      const { machine: machineId, incarnation, cause, reason } = event
      return { machineId, incarnation, cause, reason }
    }
    case 'machineReturned':
      return { machineId: event.machine, incarnation: event.incarnation }
  }
}
