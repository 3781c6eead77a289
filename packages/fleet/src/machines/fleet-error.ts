import { DomainError } from '@deos/domain'

export type FleetErrorCode =
  | 'FLEET_INVALID'
  | 'TOKEN_MISSING'
  | 'TOKEN_UNKNOWN'
  | 'TOKEN_EXPIRED'
  | 'TOKEN_REVOKED'
  | 'TOKEN_USED_UP'
  | 'MACHINE_UNKNOWN'
  | 'MACHINE_REMOVED'
  | 'MACHINE_OFFLINE'
  | 'MACHINE_FENCED'
  | 'MACHINE_REJOIN'
  | 'MACHINE_VERSION'
  | 'MACHINE_ORGANISATION'
  | 'MACHINE_IN_USE'
  | 'MACHINE_NOT_READY'
  | 'JOIN_STALE'

const remedies: Readonly<Record<FleetErrorCode, readonly [hint: string, retriable: boolean]>> = {
  FLEET_INVALID: ['Correct the value and send it again.', false],
  TOKEN_MISSING: ['Create a join token and pass it with --token.', false],
  TOKEN_UNKNOWN: ['Check that the whole token was copied, or create a new one.', false],
  TOKEN_EXPIRED: ['Create a new join token.', false],
  TOKEN_REVOKED: ['Create a new join token.', false],
  TOKEN_USED_UP: ['Create a new join token, or one with more uses.', false],
  MACHINE_UNKNOWN: [
    'Check the id in the list of machines; a machine that is not listed joins with a token.',
    false,
  ],
  MACHINE_REMOVED: ['Join it again with a new token if it is to come back.', false],
  MACHINE_OFFLINE: ['Send a heartbeat first.', true],
  MACHINE_FENCED: ['Stop this process; give the other one a key of its own if both are to run.', false],
  MACHINE_REJOIN: ['Join again with the same key.', true],
  MACHINE_VERSION: ['', false],
  MACHINE_ORGANISATION: [
    'Delete the key on the machine to join as a new one, or use a token of its organisation.',
    false,
  ],
  MACHINE_IN_USE: ['Drain the machine and wait until it is empty, or force the removal.', true],
  MACHINE_NOT_READY: ['Wait for its reports, or see its state for what it lacks.', true],
  JOIN_STALE: ['Ask for the current incarnation and join again.', true],
}

/** A command that the fleet refuses. */
export class FleetError extends DomainError {
  readonly retriable: boolean

  /** @param hint - instead of the usual remedy of the code */
  constructor(
    readonly code: FleetErrorCode,
    message: string,
    hint: string = remedies[code][0],
  ) {
    super(message, hint)
    this.retriable = remedies[code][1]
  }
}

/** What was decided, or why it was refused. Anything but a refusal is a bug and goes on. */
export function orRefusal<T>(decide: () => T): T | FleetError {
  try {
    return decide()
  } catch (error) {
    if (error instanceof FleetError) return error
    throw error
  }
}

/** @param field - path of the offending field, e.g. `inventory.devices[1].memoryBytes` */
export const invalidField = (field: string, value: unknown, wanted: string): FleetError =>
  new FleetError('FLEET_INVALID', `${field} is ${quote(value)}, but must be ${wanted}.`)

function quote(value: unknown): string {
  if (typeof value !== 'string') return String(value)
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
}
