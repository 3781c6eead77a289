import type {
  IdSource,
  MachineBenchmark,
  MachineId,
  MachineInventory,
  MachineLocation,
  Milliseconds,
  OrganisationId,
  PlacedStage,
} from '@deos/domain'
import type { MachineSoftware, VersionPolicy } from './version-policy.ts'

/** What comes from a machine's process names the incarnation it was given, so that a fenced one is recognised. */
interface FromProcess {
  readonly machine: MachineId
  readonly incarnation: number
}

/** Whether the operator may touch the machine is checked where the command enters. */
interface FromOperator {
  readonly machine: MachineId
  /** For other people. */
  readonly reason: string
}

export interface CreateJoinToken {
  readonly type: 'createJoinToken'
  readonly organisation: OrganisationId
  /** May be empty. */
  readonly label: string
  readonly secretDigest: string
  readonly expiresAtMs: Milliseconds
  readonly maxUses: number | null
}

export interface RevokeJoinToken {
  readonly type: 'revokeJoinToken'
  readonly token: string
  readonly reason: string
}

/** By a process that has proved to hold the private key. */
export interface JoinMachine {
  readonly type: 'join'
  readonly fingerprint: string
  /** Random, new with each start of the process: a join sent twice is one. */
  readonly process: string
  /**
   * The machine's incarnation as {@link incarnationOf} gave it when this process asked, 0 for an unknown key. A join
   * that is late finds another number and changes nothing.
   */
  readonly after: number
  /** Needed for the first join; and for the first after a removal, one made since then. */
  readonly token: { readonly id: string; readonly secretDigest: string } | null
  readonly name: string
  readonly location: MachineLocation
  readonly software: MachineSoftware
}

export interface ReportInventory extends FromProcess {
  readonly type: 'reportInventory'
  readonly inventory: MachineInventory
}

export interface ReportBenchmark extends FromProcess {
  readonly type: 'reportBenchmark'
  readonly benchmark: MachineBenchmark
}

/** Only brings a lost machine back; the lease is renewed beside, see {@link receiveHeartbeat}. */
export interface Heartbeat extends FromProcess {
  readonly type: 'heartbeat'
}

/** The process stops on purpose. */
export interface LeaveMachine extends FromProcess {
  readonly type: 'leave'
  readonly reason: string
}

export interface CordonMachine extends FromOperator {
  readonly type: 'cordon'
}

export interface UncordonMachine extends FromOperator {
  readonly type: 'uncordon'
}

export interface DrainMachine extends FromOperator {
  readonly type: 'drain'
}

/** By the reconciler, once it has moved everything. */
export interface ConfirmDrained {
  readonly type: 'drained'
  readonly machine: MachineId
  /** Every stage placed now, on this machine or another. */
  readonly placed: readonly PlacedStage[]
}

export interface QuarantineMachine extends FromOperator {
  readonly type: 'quarantine'
}

export interface ReleaseFromQuarantine extends FromOperator {
  readonly type: 'releaseFromQuarantine'
}

export interface RemoveMachine extends FromOperator {
  readonly type: 'remove'
  /** Every stage placed now, on this machine or another. */
  readonly placed: readonly PlacedStage[]
  /** Even if stages are placed there. */
  readonly force: boolean
}

export type ProcessCommand = ReportInventory | ReportBenchmark | Heartbeat | LeaveMachine

export type OperatorCommand =
  | CordonMachine
  | UncordonMachine
  | DrainMachine
  | ConfirmDrained
  | QuarantineMachine
  | ReleaseFromQuarantine
  | RemoveMachine

export type FleetCommand = CreateJoinToken | RevokeJoinToken | JoinMachine | ProcessCommand | OperatorCommand

/** What decisions take from outside. */
export interface FleetContext {
  /** The control plane's clock, since the Unix epoch. Machines' clocks are never asked. */
  readonly nowMs: Milliseconds
  /** Names new tokens (`join-token`) and machines (`machine`). */
  readonly ids: IdSource
  readonly versions: VersionPolicy
}
