import { DomainError } from '@deos/domain'

/** A fleet or placement to evaluate has a value that cannot be. */
export class ServingInstanceError extends DomainError {
  readonly code = 'SERVING_INSTANCE_INVALID'
  readonly retriable = false

  constructor(
    /** Path of what is wrong: `devices[3].tokensPerSecondByLayers[0]`. */
    readonly field: string,
    given: unknown,
    wanted: string,
  ) {
    super(`${field} is ${String(given)}.`, `Give ${wanted}.`)
  }
}
