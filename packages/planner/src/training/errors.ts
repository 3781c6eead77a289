import { DomainError } from '@deos/domain'

/** What a training plan was asked for cannot be read. */
export class TrainingRequestError extends DomainError {
  readonly code = 'TRAINING_REQUEST_INVALID'
  readonly retriable = false

  constructor(
    /** Path of what is wrong: `work.microbatch`. */
    readonly field: string,
    given: unknown,
    wanted: string,
  ) {
    super(`${field} is ${String(given)}.`, `Give ${wanted}.`)
  }
}
