import type { RingSession } from '../ring-session.ts'
import type { Tenant } from './tenant-shares.ts'

/** Sessions of one tenant with one priority whose prompts are not through, by arrival. */
export interface Lane {
  readonly tenant: Tenant
  readonly priority: number
  readonly pooling: boolean
  readonly sessions: RingSession[]
  /** Tokens by which short prompts went ahead of the oldest one. */
  lent: number
}

/**
 * Who is next to have its prompt computed: higher priority first, then the tenant that received least, then who came
 * first. Sessions that generate and sessions that pool stand in line apart, since no step holds both.
 */
export class PromptLine {
  readonly #lanes = new Map<string, Lane>()

  add(session: RingSession): void {
    const { tenant, priority, pooling } = session
    const name = laneOf(session)
    let lane = this.#lanes.get(name)
    if (lane === undefined) {
      lane = { tenant, priority, pooling, sessions: [], lent: 0 }
      this.#lanes.set(name, lane)
    }
    let index = lane.sessions.length
    while (index > 0 && lane.sessions[index - 1]!.arrival > session.arrival) index -= 1
    lane.sessions.splice(index, 0, session)
  }

  /** Nothing happens to a session that is not in line. */
  remove(session: RingSession): void {
    const name = laneOf(session)
    const lane = this.#lanes.get(name)
    const index = lane?.sessions.indexOf(session) ?? -1
    if (lane === undefined || index === -1) return
    lane.sessions.splice(index, 1)
    if (lane.sessions.length === 0) this.#lanes.delete(name)
  }

  clear(): void {
    this.#lanes.clear()
  }

  count(pooling: boolean): number {
    let count = 0
    for (const lane of this.#lanes.values()) if (lane.pooling === pooling) count += lane.sessions.length
    return count
  }

  /** Highest priority in line; `null` if nobody is. */
  topPriority(pooling: boolean): number | null {
    let top: number | null = null
    for (const lane of this.#lanes.values()) {
      if (lane.pooling === pooling && (top === null || lane.priority > top)) top = lane.priority
    }
    return top
  }

  /** Who is next of those who may. */
  first(
    pooling: boolean,
    may: (session: RingSession) => boolean,
  ): { readonly session: RingSession; readonly lane: Lane } | null {
    let best: { session: RingSession; lane: Lane } | null = null
    for (const lane of this.#lanes.values()) {
      if (lane.pooling !== pooling) continue
      if (best !== null && !precedes(lane, best.lane)) continue
      const session = lane.sessions.find(may)
      if (session === undefined) continue
      if (best === null || ranks(lane, best.lane) < 0 || session.arrival < best.session.arrival) {
        best = { session, lane }
      }
    }
    return best
  }

  /** Who of those in a lane who may has least to go, the oldest of equals. */
  shortest(lane: Lane, may: (session: RingSession) => boolean): RingSession | null {
    let best: RingSession | null = null
    for (const session of lane.sessions) {
      if ((best === null || session.remaining < best.remaining) && may(session)) best = session
    }
    return best
  }
}

const laneOf = ({ priority, pooling, tenant }: RingSession): string =>
  `${priority}${pooling ? 'p' : 'g'}${tenant.name}`

/** Below 0 when sessions of lane `a` go first, 0 when arrival decides. */
const ranks = (a: Lane, b: Lane): number => b.priority - a.priority || a.tenant.service - b.tenant.service

const precedes = (a: Lane, b: Lane): boolean => ranks(a, b) <= 0
