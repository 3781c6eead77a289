import { DomainError } from '@deos/domain'
import { ApiError } from '@deos/sdk'

/** Exit codes beside 0 and 1, for whoever starts agents: starting again helps with none of them. */
export const EXIT_FENCED = 3
export const EXIT_REFUSED = 4
export const EXIT_IN_USE = 5

/** A newer process is this machine. */
export class MachineFencedError extends DomainError {
  readonly code = 'MACHINE_FENCED'
  readonly retriable = false

  constructor(message: string, options?: ErrorOptions) {
    super(
      message,
      'Stop this process for good; give the other one a key of its own if both are to run.',
      options,
    )
  }
}

/** The control plane does not want this machine. */
export class JoinRefusedError extends DomainError {
  readonly code = 'JOIN_REFUSED'
  readonly retriable = false

  constructor(cause: ApiError) {
    super(`The control plane refused this machine: ${cause.message}`, cause.hint, { cause })
  }
}

export type FinalError = MachineFencedError | JoinRefusedError

export const exitCodeOf = (error: FinalError): number =>
  error instanceof MachineFencedError ? EXIT_FENCED : EXIT_REFUSED

/** What to do about a call with a credential that failed. */
export type Verdict =
  | { readonly next: 'retry' }
  | { readonly next: 'join-again' }
  | { readonly next: 'end'; readonly error: FinalError }

const retry: Verdict = { next: 'retry' }
const joinAgain: Verdict = { next: 'join-again' }

/** Codes of the fleet that say more than the kind of problem. */
const joinAgainCodes = new Set(['MACHINE_REJOIN', 'MACHINE_UNKNOWN', 'JOIN_STALE'])

/** Whatever is not the API's word about this machine passes: a server that restarts, a network, a proxy's page. */
export function judge(error: unknown): Verdict {
  if (!(error instanceof ApiError) || error.problem === null) return retry
  if (joinAgainCodes.has(error.code)) return joinAgain
  switch (error.problemName) {
    case 'stale-incarnation':
      return { next: 'end', error: new MachineFencedError(error.message, { cause: error }) }
    case 'unauthenticated':
      return joinAgain
    case 'gone':
    case 'version-unsupported':
      return { next: 'end', error: new JoinRefusedError(error) }
    default:
      return error.code === 'MACHINE_FENCED'
        ? { next: 'end', error: new MachineFencedError(error.message, { cause: error }) }
        : retry
  }
}

/** Of a join: with a new challenge it may succeed. */
const staleJoinCodes = new Set(['JOIN_STALE', 'CHALLENGE_UNKNOWN', 'CHALLENGE_EXPIRED'])

/**
 * The same for an attempt to join.
 *
 * @param known - whether this process has been a member before: then an answer that is not the API's is a passing fault
 */
export function judgeJoin(error: unknown, known: boolean): Verdict {
  if (error instanceof MachineFencedError) return { next: 'end', error }
  if (!(error instanceof ApiError) || error.retriable || staleJoinCodes.has(error.code)) return retry
  if (error.code === 'MACHINE_FENCED') return judge(error)
  return error.problem === null && known ? retry : { next: 'end', error: new JoinRefusedError(error) }
}
