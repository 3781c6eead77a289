import { DomainError } from '@deos/domain'

/** A model's description lacks something, or says what cannot be. */
export class ModelDescriptionError extends DomainError {
  readonly code = 'MODEL_DESCRIPTION_INVALID'
  readonly retriable = false

  constructor(
    /** Key as the description spells it: `num_attention_heads`, `llama.block_count`. */
    readonly field: string,
    given: unknown,
    wanted: string,
  ) {
    super(
      given === undefined || given === null
        ? `${field} is missing.`
        : `${field} is ${JSON.stringify(given) ?? String(given)}.`,
      `Give ${wanted}.`,
    )
  }
}
