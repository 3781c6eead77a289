import type { RingSession } from './ring-session.ts'

interface Preparation {
  readonly session: RingSession
  readonly sentMs: number
}

/** Sessions that wait until every stage is ready for their adapter or grammar. */
export class Preparations {
  #next = 1
  /** In the order in which they were sent. */
  readonly #pending = new Map<number, Preparation>()

  constructor(private readonly timeoutMs: number) {}

  /** Returns the number of the request that is to be sent around the ring. */
  begin(session: RingSession, nowMs: number): number {
    const request = this.#next++
    this.#pending.set(request, { session, sentMs: nowMs })
    return request
  }

  /** The session of a request that came back; `undefined` if nobody waits for it any more. */
  finish(request: number): RingSession | undefined {
    const session = this.#pending.get(request)?.session
    this.#pending.delete(request)
    return session
  }

  /** The session is over; nothing happens if it does not wait. */
  forget(session: RingSession): void {
    for (const [request, pending] of this.#pending) {
      if (pending.session === session) this.#pending.delete(request)
    }
  }

  overdue(nowMs: number): boolean {
    for (const { sentMs } of this.#pending.values()) return nowMs - sentMs > this.timeoutMs
    return false
  }

  clear(): void {
    this.#pending.clear()
  }
}
