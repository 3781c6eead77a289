import { DomainError } from '@deos/domain'

export class UnknownAcceleratorError extends DomainError {
  readonly code = 'ACCELERATOR_UNKNOWN'
  readonly retriable = false

  constructor(
    readonly accelerator: string,
    near: readonly string[],
  ) {
    super(
      `There is no accelerator "${accelerator}" in the catalogue.`,
      near.length > 0 ? `Did you mean ${near.join(', ')}?` : 'Name it as its vendor does: H100-SXM5-80GB.',
    )
  }
}

/** Measurements from which no efficiency can be had. */
export class ProfileError extends DomainError {
  readonly code = 'DEVICE_PROFILE_INVALID'
  readonly retriable = false
}
