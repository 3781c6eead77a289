import { createHmac } from 'node:crypto'

/** Why a ticket that another machine shows is not good; null if it is. */
export type TicketProblem = 'unreadable' | 'for another machine' | 'expired'

/** `<machine that shows it>.<machine it is shown to>.<end of its time, milliseconds since 1970>` */
export function findTicketProblem(ticket: string, ownMachine: string, nowMs: number): TicketProblem | null {
  const match = /^[^.]+\.([^.]+)\.(\d{1,16})$/.exec(ticket)
  if (match === null) return 'unreadable'
  if (match[1] !== ownMachine) return 'for another machine'
  return Number(match[2]) > nowMs ? null : 'expired'
}

/** The key that whoever was given the ticket was given with it. */
export const ticketKey = (peerSecret: Uint8Array, ticket: string): Buffer =>
  createHmac('sha256', peerSecret).update(ticket, 'utf8').digest()
