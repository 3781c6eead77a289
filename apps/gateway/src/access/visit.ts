import type { AccessGrant } from '@deos/api'
import type { OpenSpan } from '@deos/service'
import type { Ticket } from '../accounting/ticket.ts'

/** Who sends a request. */
export interface Caller {
  /** Whose share of a ring is used, and among whose requests cached prefixes are shared. */
  readonly tenant: string
  /** What the control plane says the key may do; `null` where no control plane is asked. */
  readonly grant: AccessGrant | null
}

/** One HTTP request, from its first byte to the end of its answer. */
export interface Visit {
  /** The request's id in headers, logs and records. */
  readonly id: string
  /** By the server's clock. */
  readonly arrivedMs: number
  /** Its part of a trace; `null` if nobody traces. */
  readonly span: OpenSpan | null
  caller: Caller
  /** Once it is known which deployment is asked; never on a gateway of one model. */
  ticket: Ticket | null
}

declare module 'fastify' {
  interface FastifyRequest {
    visit: Visit
  }
}

/** Before anybody looked at the key. */
export const nobody: Caller = { tenant: 'anonymous', grant: null }
