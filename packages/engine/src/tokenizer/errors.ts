import { DomainError } from '@deos/domain'

export class TextTooLongError extends DomainError {
  readonly code = 'TEXT_TOO_LONG'
  readonly retriable = false
  constructor(
    readonly length: number,
    readonly limit: number,
  ) {
    super(
      `The text has ${length} characters; at most ${limit} can be tokenized at once.`,
      'Send a shorter text.',
    )
  }
}

/** The model's chat template refused the conversation, or is itself broken. */
export class ChatTemplateError extends DomainError {
  readonly code = 'CHAT_TEMPLATE_FAILED'
  readonly retriable = false
  constructor(
    readonly reason: string,
    hint: string,
    cause?: unknown,
  ) {
    super(`The chat template ${reason}`, hint, cause === undefined ? undefined : { cause })
  }
}

export class TokenizerBusyError extends DomainError {
  readonly code = 'TOKENIZER_BUSY'
  readonly retriable = true
  constructor(readonly capacity: number) {
    super(`${capacity} long texts already wait for the tokenizer.`, 'Try again in a moment.')
  }
}

export class TokenizerThreadError extends DomainError {
  readonly code = 'TOKENIZER_THREAD_FAILED'
  readonly retriable = true
  constructor(reason: string, cause?: unknown) {
    super(
      `The tokenizer's thread ${reason}.`,
      'Try again; the next text gets a fresh thread.',
      cause === undefined ? undefined : { cause },
    )
  }
}
