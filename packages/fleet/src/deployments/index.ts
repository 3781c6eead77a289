/**
 * Deployments: what people wish to run, and the reconciler that brings the fleet there. Events are decided by
 * {@link decideDeployments} from wishes and facts, and by {@link reconcile} from everything at once; the state is
 * {@link foldDeployments} of them. What the outside has to do is in {@link outstandingActions}.
 */
export { decideDeployments } from './decide-deployments.ts'
export * from './deployment.ts'
export * from './deployment-commands.ts'
export { DeploymentError, type DeploymentErrorCode } from './deployment-error.ts'
export type { DeploymentEvent } from './deployment-events.ts'
export {
  type DeploymentSpec,
  type DeploymentTarget,
  kvTokensOf,
  mostReplicas,
  sameRuntime,
  sameSpec,
} from './deployment-spec.ts'
export { type DeploymentCondition, type DeploymentStatus, deploymentStatus } from './deployment-status.ts'
export { evolveDeployments, foldDeployments } from './evolve-deployments.ts'
export { type DeploymentAction, mayLoad, outstandingActions } from './outstanding-actions.ts'
export { beside, placeAnswering, ringOf } from './place-answering.ts'
export { type ReconcileResult, reconcile } from './reconcile.ts'
export { defaultReconcilerSettings, type ReconcilerSettings } from './reconciler-settings.ts'
export type { MachineStanding, ReconcileInput } from './reconciliation.ts'
export { type ReplicaRole, replicaRoles } from './replica-role.ts'
export { type KvQuality, kvQualities, type SplitPolicy } from './split-policy.ts'
export { restoreDeployments, type StoredDeployments, storeDeployments } from './stored-deployments.ts'
