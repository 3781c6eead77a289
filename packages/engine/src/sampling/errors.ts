import { DomainError } from '@deos/domain'

/** The model's output is not a distribution. */
export class InvalidLogitsError extends DomainError {
  readonly code = 'INVALID_LOGITS'
  readonly retriable = false
  constructor(
    readonly position: number,
    readonly token: number,
    readonly value: number,
  ) {
    super(
      token < 0
        ? `The model gave no logits at position ${position}.`
        : `The logit of token ${token} at position ${position} is ${value}.`,
      'Check the weights for damage, or use a KV cache and activations of a wider type.',
    )
  }
}
