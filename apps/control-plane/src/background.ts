import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '@deos/service'
import type { Claims } from './cluster/claims.ts'

export interface ClaimedWork {
  /** Also names the claim: of all control planes one does it at a time. */
  readonly name: string
  readonly everyMs: number
  readonly run: () => Promise<void>
}

/** Work that comes round, done by one control plane at a time. A failure is logged, and the next turn comes as usual. */
export class Background {
  readonly #stop = new AbortController()
  #loops: readonly Promise<void>[] = []

  constructor(
    private readonly claims: Pick<Claims, 'tryRun'>,
    private readonly logger: Logger,
  ) {}

  start(works: readonly ClaimedWork[]): void {
    this.#loops = works.map((work) => this.#loop(work))
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#loops)
  }

  async #loop({ name, everyMs, run }: ClaimedWork): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      await sleep(everyMs, null, { signal, ref: false }).catch(() => undefined)
      if (signal.aborted) return
      try {
        await this.claims.tryRun(name, run)
      } catch (error) {
        if (!signal.aborted) this.logger.warn({ err: error }, `${name} failed; it is tried again.`)
      }
    }
  }
}
