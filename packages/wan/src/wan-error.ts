import { DomainError } from '@deos/domain'

/** A profile, a schedule or a placement that cannot be. */
export class WanError extends DomainError {
  readonly code = 'WAN_SETTINGS'
  readonly retriable = false
}
