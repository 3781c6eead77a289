import { DomainError } from '@deos/domain'

export class LlamaCppUnavailableError extends DomainError {
  readonly code = 'LLAMA_CPP_UNAVAILABLE'
  readonly retriable = false

  constructor(readonly reason: string) {
    super(reason, 'Comparisons with llama.cpp need its prebuilt library; everything else works without it.')
  }
}

/** The library's structs are not the ones described here; calling it would corrupt memory. */
export class LlamaCppLayoutError extends DomainError {
  readonly code = 'LLAMA_CPP_LAYOUT'
  readonly retriable = false

  constructor(found: string, expected: string) {
    super(
      `libllama does not match its description: ${found}; expected ${expected}.`,
      'Install the pinned version.',
    )
  }
}

export class LlamaCppCallError extends DomainError {
  readonly code = 'LLAMA_CPP_CALL'
  readonly retriable = false
}
