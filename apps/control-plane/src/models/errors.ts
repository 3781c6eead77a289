import { DomainError } from '@deos/domain'

/** A model cannot be taken from where it is said to be. */
export class ModelSourceError extends DomainError {
  readonly code = 'MODEL_SOURCE_REFUSED'
  readonly retriable = false
}

/** An address that this process does not call. */
export class OutgoingRefusedError extends DomainError {
  readonly code = 'OUTGOING_REFUSED'
  readonly retriable = false

  constructor(host: string, reason: string) {
    super(
      `${host} is not called: ${reason}.`,
      'Use a public https address, or let the operator add the host to the allowed ones.',
    )
  }
}

/** The hub, or the way to it, failed. */
export class HubError extends DomainError {
  readonly code = 'HUB_FAILED'

  constructor(
    message: string,
    hint: string,
    readonly retriable: boolean,
    /** What the hub asks to wait. */
    readonly retryAfterMs: number | null = null,
    cause?: unknown,
  ) {
    super(message, hint, { cause })
  }
}

/** Bytes that are not those that were announced. */
export class WrongBytesError extends DomainError {
  readonly code = 'MODEL_BYTES_WRONG'
  readonly retriable = true

  constructor(file: string, wanted: string, found: string) {
    super(
      `${file} has the digest ${found}, not ${wanted}.`,
      'Try again; if it stays, the file at its source was changed or is damaged.',
    )
  }
}
