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

/** What constrains the output leaves no token to go on with. */
export class EmptyMaskError extends DomainError {
  readonly code = 'EMPTY_MASK'
  readonly retriable = false
  constructor(readonly position: number) {
    super(
      `The constraint of the output allows no token at position ${position}.`,
      'Check that the grammar can end there.',
    )
  }
}
