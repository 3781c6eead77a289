/**
 * Everything expected that can go wrong. The message says what happened, with numbers; the hint says what to do.
 * Broken invariants are bugs and stay plain `Error`s.
 */
export abstract class DomainError extends Error {
  /** Stable, for programs. */
  abstract readonly code: string
  /** Whether the same call may succeed later without a change by the caller. */
  abstract readonly retriable: boolean

  constructor(
    message: string,
    readonly hint: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.name = new.target.name
  }
}

/** One line for people: message and remedy. */
export function describeError(error: unknown): string {
  if (error instanceof DomainError) return error.hint ? `${error.message} ${error.hint}` : error.message
  return error instanceof Error ? error.message : String(error)
}
