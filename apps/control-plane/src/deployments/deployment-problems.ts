import type { ProblemMapping } from '@deos/api'
import type { DeploymentErrorCode } from '@deos/fleet'

/** How refusals of deployments are told. */
export const deploymentProblems = {
  DEPLOYMENT_INVALID: 'validation',
  DEPLOYMENT_UNKNOWN: 'not-found',
  DEPLOYMENT_NAME_TAKEN: 'conflict',
  DEPLOYMENT_REMOVING: 'conflict',
  REVISION_UNKNOWN: 'not-found',
  REPLICAS_OUT_OF_BOUNDS: 'conflict',
  PLACEMENT_REQUEST_INVALID: 'validation',
} as const satisfies ProblemMapping & Record<DeploymentErrorCode, unknown>
