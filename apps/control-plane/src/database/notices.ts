import { EventEmitter } from 'node:events'
import type { Channel, Queries } from './database.ts'
import { currentScope } from './transactions.ts'

export interface Notice {
  readonly channel: Channel
  readonly payload: string
}

/** How control planes hear of each other's commits. */
export interface Notices {
  publish(queries: Queries, channel: Channel, payload: string): Promise<void>
  /** A transaction in which these were published is there for all to see. */
  committed(notices: readonly Notice[]): void
  listen(channel: Channel, onNotice: (payload: string) => void): () => void
  close(): Promise<void>
}

/** For the one process that has the embedded database open. */
export class LocalNotices implements Notices {
  readonly #emitter = new EventEmitter().setMaxListeners(0)

  async publish(_: Queries, channel: Channel, payload: string): Promise<void> {
    const scope = currentScope()
    if (scope === null) this.committed([{ channel, payload }])
    else scope.notices.push({ channel, payload })
  }

  committed(notices: readonly Notice[]): void {
    for (const { channel, payload } of notices) setImmediate(() => this.#emitter.emit(channel, payload))
  }

  listen(channel: Channel, onNotice: (payload: string) => void): () => void {
    this.#emitter.on(channel, onNotice)
    return () => {
      this.#emitter.off(channel, onNotice)
    }
  }

  async close(): Promise<void> {
    this.#emitter.removeAllListeners()
  }
}
