import type { EventType } from '@deos/api'
import {
  emptyFleet,
  evolveFleet,
  type FleetEvent,
  type FleetState,
  restoreFleet,
  type StoredFleet,
  storeFleet,
} from '@deos/fleet'
import type { StreamDefinition } from '../events/event-sourced.ts'

const types: Readonly<Record<FleetEvent['type'], EventType>> = {
  joinTokenCreated: 'join-token.created',
  joinTokenRevoked: 'join-token.revoked',
  machineJoined: 'machine.joined',
  inventoryReported: 'machine.inventory-reported',
  benchmarkReported: 'machine.benchmarked',
  machineQuarantined: 'machine.quarantined',
  quarantineReleased: 'machine.released',
  machineCordoned: 'machine.cordoned',
  machineUncordoned: 'machine.uncordoned',
  drainStarted: 'machine.drain-started',
  machineDrained: 'machine.drained',
  machineWentOffline: 'machine.offline',
  machineReturned: 'machine.returned',
  machineRemoved: 'machine.removed',
}

/** How machines and join tokens lie in the log of events. */
export const fleetStream: StreamDefinition<FleetState, FleetEvent> = {
  stream: 'fleet',
  empty: emptyFleet,
  evolve: evolveFleet,
  store: storeFleet,
  restore: (stored) => restoreFleet(stored as StoredFleet),
  describe(event, { tokens, machines }) {
    const about = { type: types[event.type], atMs: event.atMs, deployment: null }
    if ('machine' in event) {
      const { organisation } = machines.get(event.machine)!
      return { ...about, organisation, machine: event.machine }
    }
    return { ...about, organisation: tokens.get(event.token)!.organisation, machine: null }
  },
}
