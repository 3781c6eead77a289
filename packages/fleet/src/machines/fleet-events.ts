import type {
  MachineBenchmark,
  MachineId,
  MachineInventory,
  MachineLocation,
  Milliseconds,
  OrganisationId,
} from '@deos/domain'
import type { QuarantineCause } from './machine.ts'
import type { MachineSoftware } from './version-policy.ts'

interface Happened {
  /** By the control plane's clock, since the Unix epoch. */
  readonly atMs: Milliseconds
}

interface OfMachine extends Happened {
  readonly machine: MachineId
}

export interface JoinTokenCreated extends Happened {
  readonly type: 'joinTokenCreated'
  readonly token: string
  readonly organisation: OrganisationId
  readonly label: string
  readonly secretDigest: string
  readonly expiresAtMs: Milliseconds
  readonly maxUses: number | null
}

export interface JoinTokenRevoked extends Happened {
  readonly type: 'joinTokenRevoked'
  readonly token: string
  readonly reason: string
}

/** A process became the machine; the one before it, if any, is fenced from here on. */
export interface MachineJoined extends OfMachine {
  readonly type: 'machineJoined'
  readonly organisation: OrganisationId
  readonly fingerprint: string
  readonly name: string
  readonly location: MachineLocation
  readonly software: MachineSoftware
  readonly protocol: number | null
  readonly incarnation: number
  readonly process: string
  /** The token that this join used up; `null` if the machine was known. */
  readonly token: string | null
}

export interface InventoryReported extends OfMachine {
  readonly type: 'inventoryReported'
  readonly incarnation: number
  readonly inventory: MachineInventory
  /** What was measured before no longer holds. */
  readonly hardwareChanged: boolean
}

export interface BenchmarkReported extends OfMachine {
  readonly type: 'benchmarkReported'
  readonly benchmark: MachineBenchmark
}

export interface MachineQuarantined extends OfMachine {
  readonly type: 'machineQuarantined'
  readonly cause: QuarantineCause
  readonly reason: string
}

export interface QuarantineReleased extends OfMachine {
  readonly type: 'quarantineReleased'
  readonly causes: readonly QuarantineCause[]
  readonly reason: string
}

export interface MachineCordoned extends OfMachine {
  readonly type: 'machineCordoned'
  readonly reason: string
}

/** Ends a drain, too. */
export interface MachineUncordoned extends OfMachine {
  readonly type: 'machineUncordoned'
  readonly reason: string
}

export interface DrainStarted extends OfMachine {
  readonly type: 'drainStarted'
  readonly reason: string
}

/** Nothing is placed there any more; the machine stays cordoned. */
export interface MachineDrained extends OfMachine {
  readonly type: 'machineDrained'
}

export interface MachineWentOffline extends OfMachine {
  readonly type: 'machineWentOffline'
  readonly incarnation: number
  readonly cause: 'lease' | 'goodbye'
  readonly reason: string
}

/** The same process, thought lost, is heard of again. */
export interface MachineReturned extends OfMachine {
  readonly type: 'machineReturned'
  readonly incarnation: number
}

export interface MachineRemoved extends OfMachine {
  readonly type: 'machineRemoved'
  readonly reason: string
}

export type MachineEvent =
  | MachineJoined
  | InventoryReported
  | BenchmarkReported
  | MachineQuarantined
  | QuarantineReleased
  | MachineCordoned
  | MachineUncordoned
  | DrainStarted
  | MachineDrained
  | MachineWentOffline
  | MachineReturned
  | MachineRemoved

/** What happened to machines and to the tokens they join with. Plain JSON; heartbeats are none of these. */
export type FleetEvent = JoinTokenCreated | JoinTokenRevoked | MachineEvent
