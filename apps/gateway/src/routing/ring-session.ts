import { ringId } from '@deos/domain'
import { defaultWireLimits } from '@deos/protocol'
import { systemIds, systemRandom } from '@deos/service'
import {
  linkIdentity,
  RingConnection,
  type RingConnectionCollaborators,
  type RingNetwork,
  ringTransport,
  systemTimers,
} from '@deos/transport'
import { StageLinks } from '../split/stage-links.ts'
import type { OpenRing } from './replica.ts'

/** How often deadlines and waits are looked at, and how soon a lost link is dialled again. */
export const ringTiming = { tickMs: 25, reconnect: { firstDelayMs: 50, maxDelayMs: 2000 } } as const

export interface RingAddress {
  readonly ring: string
  readonly secret: Uint8Array
  /** Where the first and the last stage listen: the same in a ring of one. */
  readonly leader: string
  readonly tail: string
  readonly resumePatienceMs: number
  /** Rings at one address share a connection. */
  readonly network: RingNetwork
}

/** A ring's connection over TCP, and the transport that serves it alone. */
export function connectRing(
  { ring, secret, leader, tail, resumePatienceMs, network }: RingAddress,
  told: Pick<RingConnectionCollaborators, 'onNote' | 'onStatus'>,
): { readonly connection: RingConnection; stop(): Promise<void> } {
  const identity = linkIdentity('gateway', systemIds.next('gateway'), ringId(ring))
  const transport = ringTransport(leader, identity, secret, network)
  const connection = new RingConnection(
    {
      ...ringTiming,
      wire: defaultWireLimits,
      leader,
      tail: tail === leader ? null : tail,
      resumePatienceMs,
    },
    { transport, timers: systemTimers, random: systemRandom, ...told },
  )
  return {
    connection,
    stop: () => {
      connection.stop()
      return transport.stop()
    },
  }
}

/** Connections over TCP as the routing state describes them. */
export const openRings =
  (resumePatienceMs: number, network: RingNetwork): OpenRing =>
  ({ ring, ringSecret, leader, tail, role, stages }, told) => {
    const secret = Buffer.from(ringSecret, 'hex')
    const { connection, stop } = connectRing({ ring, secret, leader, tail, resumePatienceMs, network }, told)
    const reachable = stages.flatMap((address) => address ?? [])
    const links =
      role === 'both' || reachable.length < stages.length
        ? null
        : new StageLinks({ ring, secret, stages: reachable, network, onNote: onceEach(told.onNote) })
    return {
      handover: links === null ? null : { ring, connection, links },
      get ready() {
        return connection.ready
      },
      get status() {
        return connection.status
      },
      generate: (request, handlers) => connection.generate(request, handlers),
      cancel: (id) => connection.cancel(id),
      start: () => {
        connection.start()
        links?.start()
      },
      stop: async () => {
        await Promise.all([stop(), links?.stop()])
      },
    }
  }

/** Stages that are away are dialled every few seconds. */
function onceEach(note: (level: 'info' | 'warn', text: string) => void): typeof note {
  const told = new Set<string>()
  return (level, text) => {
    const withoutDelay = text.replace(/\d+ ms/, '')
    if (told.has(withoutDelay)) return
    told.add(withoutDelay)
    note(level, text)
  }
}
