import { DomainError } from '@deos/domain'

/** Costs or stages from which no transfer can be predicted. */
export class KvSplitError extends DomainError {
  readonly code = 'KV_SPLIT_INVALID'
  readonly retriable = false

  constructor(problem: string) {
    super(problem, 'Give every layer of every chunk to one stage of each ring, with costs of 0 or more.')
  }
}
