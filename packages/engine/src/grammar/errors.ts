import { DomainError } from '@deos/domain'

/** The grammar cannot be used: not understood, not enforceable, or no text satisfies it. */
export class GrammarError extends DomainError {
  readonly code = 'GRAMMAR_INVALID'
  readonly retriable = false
  constructor(
    message: string,
    hint: string,
    /** JSON pointer to the part at fault, from the root of the specification; `null` when it is the whole. */
    readonly path: string | null = null,
  ) {
    super(message, hint)
  }
}

/** Not even the shortest text of the grammar fits the tokens that may be generated. */
export class GrammarLimitError extends DomainError {
  readonly code = 'GRAMMAR_EXCEEDS_LIMIT'
  readonly retriable = false
  constructor(
    readonly neededTokens: number,
    readonly availableTokens: number,
  ) {
    super(
      `The shortest text the grammar allows takes ${neededTokens} tokens; ${availableTokens} may be generated.`,
      'Raise the token limit or ask for less.',
    )
  }
}

export class GrammarBusyError extends DomainError {
  readonly code = 'GRAMMAR_BUSY'
  readonly retriable = true
  constructor(readonly capacity: number) {
    super(`${capacity} grammars already wait to be compiled.`, 'Try again in a moment.')
  }
}

export class GrammarThreadError extends DomainError {
  readonly code = 'GRAMMAR_THREAD_FAILED'
  readonly retriable = true
  constructor(reason: string, cause?: unknown) {
    super(
      `The grammar thread ${reason}.`,
      'Try again; the next call gets a fresh thread.',
      cause === undefined ? undefined : { cause },
    )
  }
}
