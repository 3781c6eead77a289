import { DomainError } from '@deos/domain'

/** An adapter that cannot be used: unknown, damaged, or made for another model. */
export class AdapterError extends DomainError {
  readonly code = 'ADAPTER'
  readonly retriable = false
}
