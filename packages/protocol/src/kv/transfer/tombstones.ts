import type { SessionId } from '@deos/domain'

/** Remembers of the last few sessions that ended up to which epoch they are over, so that late messages stay dead. */
export class Tombstones {
  readonly #epochs = new Map<SessionId, number>()

  constructor(private readonly most: number) {}

  bury(session: SessionId, epoch: number): void {
    const last = this.#epochs.get(session) ?? 0
    this.#epochs.delete(session)
    this.#epochs.set(session, Math.max(last, epoch))
    if (this.#epochs.size <= this.most) return
    for (const oldest of this.#epochs.keys()) {
      this.#epochs.delete(oldest)
      return
    }
  }

  over(session: SessionId, epoch: number): boolean {
    return epoch <= (this.#epochs.get(session) ?? -1)
  }
}
