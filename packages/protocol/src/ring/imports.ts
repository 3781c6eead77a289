import type { SessionId } from '@deos/domain'
import type { ImportReady, SessionKey } from '../messages.ts'
import type { PageImport } from './memory/page-import.ts'

/** A prompt whose KV comes from another ring. */
export interface LeaderImport {
  readonly session: SessionId
  readonly gateway: string
  readonly entry: PageImport
  readonly deadlineMs: number
}

/** Which gateway waits for which import. */
export class Imports {
  readonly #bySession = new Map<SessionId, LeaderImport>()

  get size(): number {
    return this.#bySession.size
  }

  has(session: SessionId): boolean {
    return this.#bySession.has(session)
  }

  add(added: LeaderImport): void {
    this.#bySession.set(added.session, added)
  }

  /** `undefined` unless it is this gateway's. */
  get(session: SessionId, gateway: string): LeaderImport | undefined {
    const found = this.#bySession.get(session)
    return found?.gateway === gateway ? found : undefined
  }

  /** The same, which is over with that. */
  take(session: SessionId, gateway: string): LeaderImport | undefined {
    const found = this.get(session, gateway)
    if (found !== undefined) this.#bySession.delete(session)
    return found
  }

  byKey(key: SessionKey): LeaderImport | undefined {
    for (const candidate of this.#bySession.values()) if (candidate.entry.key === key) return candidate
    return undefined
  }

  /** Takes out those that match. */
  takeAll(matches: (candidate: LeaderImport) => boolean): readonly LeaderImport[] {
    const taken = [...this.#bySession.values()].filter(matches)
    for (const { session } of taken) this.#bySession.delete(session)
    return taken
  }
}

export const importReady = ({ session, entry: { first, end } }: LeaderImport): ImportReady => ({
  type: 'import-ready',
  session,
  cachedTokens: first,
  end,
})
