import { DomainError } from '@deos/domain'

export const EXIT_FAILURE = 1
export const EXIT_USAGE = 2
/** What shells report after an interrupt. */
export const EXIT_INTERRUPTED = 130

/** The command line itself is wrong. */
export class UsageError extends DomainError {
  readonly code = 'USAGE'
  readonly retriable = false
}

/** Something this command needs is not there or does not work. */
export class CommandError extends DomainError {
  readonly code = 'COMMAND_FAILED'
  readonly retriable = false
}

/** The user stopped the command. */
export class InterruptedError extends DomainError {
  readonly code = 'INTERRUPTED'
  readonly retriable = true

  constructor(what = 'Interrupted.') {
    super(what, '')
  }
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT_USAGE
  return error instanceof InterruptedError ? EXIT_INTERRUPTED : EXIT_FAILURE
}

/** What to do about it from a terminal, where what a server says is meant for all its callers. */
export function remedyOf(error: DomainError): string {
  if (error.code !== 'UNAUTHENTICATED') return error.hint
  return 'Sign in again with "deos login <url>", or set DEOS_API_KEY to a key that is valid.'
}

/** What `--json` prints in place of a result. */
export function errorReport(error: unknown): { readonly error: Readonly<Record<string, unknown>> } {
  if (!(error instanceof DomainError)) return { error: { code: 'BUG', message: String(error), hint: null } }
  const { code, message, retriable } = error
  const hint = remedyOf(error)
  return { error: { code, message, hint: hint === '' ? null : hint, retriable } }
}
