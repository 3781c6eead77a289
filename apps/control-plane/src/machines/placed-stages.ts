import type { DeploymentId, MachineId, PlacedStage, ReplicaId, StageId } from '@deos/domain'

export interface HeldStage {
  readonly stageId: StageId
  readonly replicaId: ReplicaId
  readonly deploymentId: DeploymentId
}

/** Where deployments have placed stages, those included that are on their way out. */
export interface PlacedStages {
  all(): readonly PlacedStage[]
  /** Asked with every heartbeat. */
  of(machine: MachineId): readonly HeldStage[]
  /** Null if nothing speaks of it any more. */
  find(stage: StageId): (HeldStage & { readonly machine: MachineId }) | null
}
