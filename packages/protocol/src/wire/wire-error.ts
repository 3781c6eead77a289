import { DomainError } from '@deos/domain'

export type WireErrorCode = 'WIRE_MALFORMED' | 'WIRE_LIMIT' | 'WIRE_VERSION'

const hints: Readonly<Record<WireErrorCode, string>> = {
  WIRE_MALFORMED: 'The peer is broken or is not DeOS; close the link.',
  WIRE_LIMIT: 'Raise the limit on this side or send less at once.',
  WIRE_VERSION: 'Run the same DeOS version on both sides.',
}

/** Bytes that are not a message this side accepts, or a message that cannot be put into bytes. */
export class WireError extends DomainError {
  readonly retriable = false

  /** @param field - path of the offending field, e.g. `step.entries[3].count` */
  constructor(
    readonly code: WireErrorCode,
    readonly field: string,
    problem: string,
    options?: ErrorOptions,
  ) {
    super(`Frame field ${field} ${problem}.`, hints[code], options)
  }
}

export const malformed = (field: string, problem: string): WireError =>
  new WireError('WIRE_MALFORMED', field, problem)

export const overLimit = (field: string, value: number, limit: number): WireError =>
  new WireError('WIRE_LIMIT', field, `is ${value}, more than the ${limit} accepted here`)
