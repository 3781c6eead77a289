import type { Deployment, DeploymentsState } from './deployment.ts'

/** Raised whenever stored deployments of before can no longer be read as they are. */
const FORMAT = 1

/** Deployments as plain JSON. It spares folding the events up to it, nothing else depends on it. */
export interface StoredDeployments {
  readonly format: number
  /** In the order they were created. */
  readonly deployments: readonly Deployment[]
}

export const storeDeployments = ({ deployments }: DeploymentsState): StoredDeployments => ({
  format: FORMAT,
  deployments: [...deployments.values()],
})

/** `null` if they were stored in another format: then the events must be folded from the first. */
export const restoreDeployments = ({ format, deployments }: StoredDeployments): DeploymentsState | null =>
  format === FORMAT
    ? { deployments: new Map(deployments.map((deployment) => [deployment.id, deployment])) }
    : null
