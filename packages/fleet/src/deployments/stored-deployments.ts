import type { MachineId } from '@deos/domain'
import type { Deployment, DeploymentsState } from './deployment.ts'

/** Raised whenever stored deployments of before can no longer be read as they are. */
const FORMAT = 3

/** Deployments as plain JSON. It spares folding the events up to it, nothing else depends on it. */
export interface StoredDeployments {
  readonly format: number
  /** Events folded in. */
  readonly version: number
  /** In the order they were created. */
  readonly deployments: readonly Deployment[]
  readonly assignmentVersions: readonly (readonly [machine: MachineId, version: number])[]
}

export const storeDeployments = ({
  version,
  deployments,
  assignmentVersions,
}: DeploymentsState): StoredDeployments => ({
  format: FORMAT,
  version,
  deployments: [...deployments.values()],
  assignmentVersions: [...assignmentVersions],
})

/** `null` if they were stored in another format: then the events must be folded from the first. */
export const restoreDeployments = ({
  format,
  version,
  deployments,
  assignmentVersions,
}: StoredDeployments): DeploymentsState | null =>
  format === FORMAT
    ? {
        version,
        deployments: new Map(deployments.map((deployment) => [deployment.id, deployment])),
        assignmentVersions: new Map(assignmentVersions),
      }
    : null
