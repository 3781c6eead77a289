import type {
  DeploymentId,
  MachineId,
  Milliseconds,
  OrganisationId,
  PlacementForecast,
  ProjectId,
  ReplicaId,
  StageId,
} from '@deos/domain'
import type { AssignedStage, DrainCause } from './deployment.ts'
import type { DeploymentSpec } from './deployment-spec.ts'
import type { ReplicaRole } from './replica-role.ts'

interface Happened {
  readonly deployment: DeploymentId
  /** The control plane's clock. */
  readonly atMs: Milliseconds
}

interface HappenedToReplica extends Happened {
  readonly replica: ReplicaId
}

/** What has happened to deployments; their state is nothing but a fold of it. */
export type DeploymentEvent =
  | (Happened & {
      readonly type: 'deploymentCreated'
      readonly organisation: OrganisationId
      readonly project: ProjectId
      readonly name: string
      readonly spec: DeploymentSpec
      readonly desiredReplicas: number
    })
  | (Happened & {
      /** The new revision is active from now on. */
      readonly type: 'deploymentRevised'
      readonly revision: number
      readonly spec: DeploymentSpec
      readonly desiredReplicas: number
    })
  | (Happened & {
      readonly type: 'revisionActivated'
      readonly revision: number
      readonly desiredReplicas: number
    })
  | (Happened & { readonly type: 'deploymentScaled'; readonly desiredReplicas: number })
  | (Happened & { readonly type: 'deploymentPaused'; readonly reason: string })
  | (Happened & { readonly type: 'deploymentResumed' })
  | (Happened & { readonly type: 'removalBegun'; readonly reason: string })
  /** Nothing of it is left anywhere. */
  | (Happened & { readonly type: 'deploymentRemoved'; readonly organisation: OrganisationId })
  | (HappenedToReplica & {
      readonly type: 'replicaAdded'
      readonly revision: number
      readonly role: ReplicaRole
    })
  | (Happened & {
      readonly type: 'placementRefused'
      readonly role: ReplicaRole
      readonly reasons: readonly string[]
      readonly fleetKey: string
      readonly count: number
      readonly retryAtMs: Milliseconds
    })
  /** Replicas are about to drain to make room for an update. */
  | (Happened & { readonly type: 'updateSqueezed'; readonly reason: string })
  | (HappenedToReplica & {
      readonly type: 'replicaPlaced'
      readonly generation: number
      /** In the order of the ring. */
      readonly stages: readonly AssignedStage[]
      readonly tokenMs: Milliseconds
      readonly reasons: readonly string[]
      /** Of requests; events from before there were such have none. */
      readonly forecast?: PlacementForecast
    })
  | (HappenedToReplica & {
      readonly type: 'stageProgressed'
      readonly stage: StageId
      readonly fraction: number
    })
  | (HappenedToReplica & {
      readonly type: 'stageListening'
      readonly stage: StageId
      readonly linkAddress: string
    })
  | (HappenedToReplica & { readonly type: 'stageLoaded'; readonly stage: StageId })
  | (HappenedToReplica & { readonly type: 'stageFailed'; readonly stage: StageId; readonly reason: string })
  | (HappenedToReplica & { readonly type: 'replicaVerifying' })
  /** A token went all the way; it is published. */
  | (HappenedToReplica & { readonly type: 'replicaReady'; readonly firstTokenMs: Milliseconds })
  | (HappenedToReplica & {
      readonly type: 'replicaFailed'
      readonly reason: string
      readonly failures: number
      readonly retryAtMs: Milliseconds
      /** What was on these is gone with them. */
      readonly lost: readonly MachineId[]
      readonly avoid: readonly MachineId[]
    })
  | (HappenedToReplica & {
      readonly type: 'replicaDraining'
      readonly cause: DrainCause
      readonly reason: string
    })
  /** It need not go after all, and takes requests again. */
  | (HappenedToReplica & { readonly type: 'replicaReturned'; readonly reason: string })
  /** It is gone; what it had loaded leaves its machines. */
  | (HappenedToReplica & {
      readonly type: 'replicaGone'
      readonly reason: string
      readonly lost: readonly MachineId[]
    })
  | (Happened & { readonly type: 'stageUnloaded'; readonly stage: StageId; readonly reason: string })
