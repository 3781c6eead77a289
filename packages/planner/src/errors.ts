import { DomainError } from '@deos/domain'

/** A placement was asked for with sizes that cannot be. */
export class PlacementRequestError extends DomainError {
  readonly code = 'PLACEMENT_REQUEST_INVALID'
  readonly retriable = false

  constructor(
    /** Path of what is wrong: `model.layerBytes[3]`. */
    readonly field: string,
    given: unknown,
    wanted: string,
  ) {
    super(`${field} is ${String(given)}.`, `Give ${wanted}.`)
  }
}
