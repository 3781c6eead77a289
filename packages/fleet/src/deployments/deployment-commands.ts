import type {
  DeploymentId,
  IdSource,
  MachineId,
  Milliseconds,
  OrganisationId,
  ProjectId,
  ReplicaId,
  StageId,
} from '@deos/domain'
import type { DeploymentSpec } from './deployment-spec.ts'

/** What people ask for. Refused with a `DeploymentError`. */
export type DeploymentWish =
  | {
      readonly type: 'create'
      readonly organisation: OrganisationId
      readonly project: ProjectId
      /** Unique in the project. */
      readonly name: string
      readonly spec: DeploymentSpec
      /** Without it the fewest allowed, but one. */
      readonly replicas?: number
    }
  | {
      readonly type: 'revise'
      readonly deployment: DeploymentId
      /** What differs from the active revision. */
      readonly changes: Partial<DeploymentSpec>
    }
  /** Activates a revision as it is; replicas of it that still run are used again. */
  | { readonly type: 'rollback'; readonly deployment: DeploymentId; readonly revision: number }
  | { readonly type: 'scale'; readonly deployment: DeploymentId; readonly replicas: number }
  /** Drains and unloads everything, and keeps the wish. */
  | { readonly type: 'pause'; readonly deployment: DeploymentId; readonly reason: string }
  | { readonly type: 'resume'; readonly deployment: DeploymentId }
  | { readonly type: 'remove'; readonly deployment: DeploymentId; readonly reason: string }

interface OfReplica {
  readonly deployment: DeploymentId
  readonly replica: ReplicaId
  readonly generation: number
}

/**
 * What the outside reports. May come late, twice and in any order: what no longer concerns anything changes nothing.
 */
export type DeploymentFact =
  /** The first one, at 0, says that the machine has begun. */
  | (OfReplica & { readonly type: 'stageProgress'; readonly stage: StageId; readonly fraction: number })
  /** `host:port` where neighbours and gateways reach it; told again whenever it has changed. */
  | (OfReplica & { readonly type: 'stageListening'; readonly stage: StageId; readonly linkAddress: string })
  | (OfReplica & { readonly type: 'stageLoaded'; readonly stage: StageId })
  | (OfReplica & { readonly type: 'stageFailed'; readonly stage: StageId; readonly reason: string })
  /** Also the answer of a machine that does not hold the stage. */
  | { readonly type: 'stageUnloaded'; readonly deployment: DeploymentId; readonly stage: StageId }
  | (OfReplica & { readonly type: 'tokenVerified'; readonly firstTokenMs: Milliseconds })
  | (OfReplica & {
      readonly type: 'verificationFailed'
      readonly reason: string
      /** Machines that another placement should do without. */
      readonly blamed?: readonly MachineId[]
    })
  /** @param drain - as the action said */
  | {
      readonly type: 'drained'
      readonly deployment: DeploymentId
      readonly replica: ReplicaId
      readonly drain: number
    }
  /** That process of the machine is gone, with all it held, even if another one is there already. */
  | {
      readonly type: 'machineLost'
      readonly machine: MachineId
      readonly incarnation: number
      readonly reason: string
    }

export type DeploymentCommand = DeploymentWish | DeploymentFact

export interface DeploymentContext {
  /** The control plane's clock, since the Unix epoch. */
  readonly nowMs: Milliseconds
  /** Names new deployments (`deployment`). */
  readonly ids: IdSource
}
