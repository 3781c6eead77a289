import { DomainError } from '@deos/domain'

/** Why a backend did not finish an accepted or offered request. A `reason` is a sentence and brings its own remedy. */
export abstract class InferenceError extends DomainError {
  abstract readonly kind:
    | 'queue_full'
    | 'not_ready'
    | 'prompt_too_long'
    | 'invalid'
    | 'deadline'
    | 'interrupted'
  /** 0 when nothing is known about when to try again. */
  readonly retryAfterMs: number = 0
}

export class QueueFullError extends InferenceError {
  readonly kind = 'queue_full'
  readonly code = 'QUEUE_FULL'
  readonly retriable = true
  constructor(
    reason: string,
    override readonly retryAfterMs: number,
  ) {
    super(`No room for another request: ${reason}`, '')
  }
}

export class NotReadyError extends InferenceError {
  readonly kind = 'not_ready'
  readonly code = 'NOT_READY'
  readonly retriable = true
  constructor(
    reason: string,
    override readonly retryAfterMs: number,
  ) {
    super(`The model is not being served right now: ${reason}`, '/health shows what is missing.')
  }
}

export class PromptTooLongError extends InferenceError {
  readonly kind = 'prompt_too_long'
  readonly code = 'PROMPT_TOO_LONG'
  readonly retriable = false
  constructor(message: string) {
    super(message, 'Shorten the prompt.')
  }

  static of(promptTokens: number, contextLength: number): PromptTooLongError {
    return new PromptTooLongError(
      `This model's maximum context length is ${contextLength} tokens, ` +
        `of which at least one is for the answer; the prompt has ${promptTokens} tokens.`,
    )
  }
}

/** The backend found something wrong that the checks before it let through. */
export class RefusedRequestError extends InferenceError {
  readonly kind = 'invalid'
  readonly code = 'REFUSED'
  readonly retriable = false
  constructor(reason: string) {
    super(`The request was refused: ${reason}`, '')
  }
}

export class DeadlineError extends InferenceError {
  readonly kind = 'deadline'
  readonly code = 'DEADLINE'
  readonly retriable = true
  constructor(readonly limitMs: number) {
    super(
      `The answer was not finished within ${limitMs / 1000} s.`,
      'Ask for fewer tokens or raise the gateway’s --request-timeout.',
    )
  }
}

/** A field of the request asks for what cannot be; found where its meaning is known, whichever API it came by. */
export class InvalidFieldError extends DomainError {
  readonly code = 'INVALID_FIELD'
  readonly retriable = false
  /** @param param - the field as the client wrote it: `tools[0].function.parameters` */
  constructor(
    readonly param: string,
    message: string,
    hint: string,
  ) {
    super(message, hint)
  }
}

/** Accepted work was lost and could not be taken up again. */
export class InterruptedError extends InferenceError {
  readonly kind = 'interrupted'
  readonly code = 'INTERRUPTED'
  readonly retriable = true
  override readonly retryAfterMs = 5000
  constructor(reason: string, options?: ErrorOptions) {
    super(`The generation was interrupted: ${reason}`, 'Send the request again.', options)
  }
}
