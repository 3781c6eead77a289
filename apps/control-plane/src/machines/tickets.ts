import { createHmac } from 'node:crypto'
import type { MachineId } from '@deos/domain'

/** Tickets of one hour are alike, so that what contains them does not change all the time. */
const spanMs = 60 * 60_000

/** Proves to `target` that `reader` may talk to it; the key is a TLS pre-shared key, the ticket its identity. */
export interface Ticket {
  /** `<reader>.<target>.<expiresAtMs>`; good for one to two hours. */
  readonly ticket: string
  /** HMAC-SHA-256 of the ticket under the target's peer secret, in hexadecimal digits. */
  readonly ticketKey: string
}

export function ticketBetween(
  reader: MachineId,
  target: MachineId,
  targetSecret: Buffer,
  nowMs: number,
): Ticket {
  const expiresAtMs = (Math.floor(nowMs / spanMs) + 2) * spanMs
  const ticket = `${reader}.${target}.${expiresAtMs}`
  return { ticket, ticketKey: createHmac('sha256', targetSecret).update(ticket).digest('hex') }
}
