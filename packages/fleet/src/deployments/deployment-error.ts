import { DomainError } from '@deos/domain'

export type DeploymentErrorCode =
  | 'DEPLOYMENT_INVALID'
  | 'DEPLOYMENT_UNKNOWN'
  | 'DEPLOYMENT_NAME_TAKEN'
  | 'DEPLOYMENT_REMOVING'
  | 'REVISION_UNKNOWN'
  | 'REPLICAS_OUT_OF_BOUNDS'

const remedies: Readonly<Record<DeploymentErrorCode, readonly [hint: string, retriable: boolean]>> = {
  DEPLOYMENT_INVALID: ['Correct the value and send it again.', false],
  DEPLOYMENT_UNKNOWN: ['Check the id in the list of deployments.', false],
  DEPLOYMENT_NAME_TAKEN: ['Choose another name, or revise the deployment that has it.', false],
  DEPLOYMENT_REMOVING: ['Wait until it is gone, then create it anew.', true],
  REVISION_UNKNOWN: ['Choose one of its revisions.', false],
  REPLICAS_OUT_OF_BOUNDS: ['Choose a number within the bounds, or revise the bounds first.', false],
}

/** A command that deployments refuse. */
export class DeploymentError extends DomainError {
  readonly retriable: boolean

  constructor(
    readonly code: DeploymentErrorCode,
    message: string,
  ) {
    super(message, remedies[code][0])
    this.retriable = remedies[code][1]
  }
}

/** @param field - path of the offending field, e.g. `spec.target.ttftMs` */
export function invalidValue(field: string, value: unknown, wanted: string): DeploymentError {
  const given = typeof value === 'string' ? JSON.stringify(value.slice(0, 80)) : String(value)
  return new DeploymentError('DEPLOYMENT_INVALID', `${field} is ${given}, but must be ${wanted}.`)
}
