import { setTimeout as sleep } from 'node:timers/promises'
import { describeError } from '@deos/domain'
import { EngineClient } from './engine-client.ts'
import type { EngineAssignment } from './engine-process/engine-load.ts'

export interface EngineSupervisorOptions {
  readonly entry: string
  readonly assignment: EngineAssignment
  readonly networkFirst: boolean
  readonly onProgress: (doneBytes: number, totalBytes: number) => void
  readonly onHand?: (to: readonly number[], data: Uint8Array) => void
  readonly onStrayFailure?: (reason: string) => void
  readonly onReady: (engine: EngineClient) => void
  readonly onLost: (reason: string) => void
  /** A first load that fails is final: the assignment is wrong. */
  readonly onImpossible: (message: string) => void
}

const FIRST_DELAY_MS = 100
const LONGEST_DELAY_MS = 5_000
/** An engine that lived this long starts the delays anew. */
const STABLE_MS = 30_000

/** Keeps one engine process alive: a native abort is a routine fault, answered by starting another. */
export class EngineSupervisor {
  private engine: EngineClient | null = null
  private stopped = false
  private loadedOnce = false
  private delayMs = FIRST_DELAY_MS

  constructor(private readonly options: EngineSupervisorOptions) {}

  start(): void {
    void this.run()
  }

  async stop(): Promise<void> {
    this.stopped = true
    await this.engine?.stop()
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      const startedAt = performance.now()
      const reason = await this.live()
      if (this.stopped) return
      if (!this.loadedOnce) {
        this.options.onImpossible(reason)
        return
      }
      this.options.onLost(reason)
      if (performance.now() - startedAt > STABLE_MS) this.delayMs = FIRST_DELAY_MS
      await sleep(this.delayMs)
      this.delayMs = Math.min(this.delayMs * 2, LONGEST_DELAY_MS)
    }
  }

  /** One life of the engine: resolves with the reason of its end. */
  private live(): Promise<string> {
    return new Promise((resolve) => {
      EngineClient.start({
        ...this.options,
        onExit: resolve,
      }).then(
        (engine) => {
          this.engine = engine
          this.loadedOnce = true
          if (this.stopped) void engine.stop()
          else this.options.onReady(engine)
        },
        (error: unknown) => resolve(describeError(error)),
      )
    })
  }
}
