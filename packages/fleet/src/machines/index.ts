/**
 * The life of machines as a fold of events: who may join, who is present, who may hold stages. {@link decideFleet} turns
 * a command into events or a refusal, {@link evolveFleet} folds them into the {@link FleetState}; {@link Leases} lie
 * beside it, and {@link fleetSnapshot} is what a placement is chosen from.
 */
export { decideFleet } from './decide-fleet.ts'
export { incarnationOf } from './decide-join.ts'
export type * from './fleet-commands.ts'
export { FleetError, type FleetErrorCode } from './fleet-error.ts'
export type * from './fleet-events.ts'
export { fleetSnapshot, type PlacementSources } from './fleet-snapshot.ts'
export { emptyFleet, evolveFleet, type FleetState, foldFleet } from './fleet-state.ts'
export { type JoinToken, type JoinTokenStatus, joinTokenStatus } from './join-token.ts'
export {
  expireLeases,
  type HeartbeatPace,
  type Lease,
  type LeasePolicy,
  Leases,
  type LeaseTerms,
  leaseTerms,
  receiveHeartbeat,
  type SequencedHeartbeat,
} from './leases.ts'
export { listJoinTokens, listMachines, liveMachines, usableMachines } from './listing.ts'
export {
  type Machine,
  type MachineFacts,
  type MachineState,
  missingReport,
  type Note,
  type Presence,
  type Quarantine,
  type QuarantineCause,
} from './machine.ts'
export { restoreFleet, type StoredFleet, storeFleet } from './stored-fleet.ts'
export {
  type Handshake,
  type MachineSoftware,
  type ProtocolRange,
  shakeHands,
  type VersionPolicy,
} from './version-policy.ts'
