import { type ApiClient, ApiError, type RoutingState } from '@deos/api'
import { type Clock, describeError, type Random } from '@deos/domain'
import type { Logger } from '@deos/service'

export interface FollowerParts {
  readonly client: Pick<ApiClient['gateway'], 'followRouting'>
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly onState: (state: RoutingState) => void
}

export interface FollowerOptions {
  readonly reconnect: { readonly firstDelayMs: number; readonly maxDelayMs: number }
}

/** Follows what the control plane wants routed. The last state stays in force while the control plane is away. */
export class RoutingFollower {
  readonly #options: FollowerOptions
  readonly #parts: FollowerParts
  readonly #stop = new AbortController()
  #state: RoutingState | null = null
  #connected = false
  #awaySinceMs: number
  #refused = false
  #failures = 0
  #running: Promise<void> = Promise.resolve()

  constructor(options: FollowerOptions, parts: FollowerParts) {
    this.#options = options
    this.#parts = parts
    this.#awaySinceMs = parts.clock.now()
  }

  /** `null` until the control plane was reached for the first time. */
  get state(): RoutingState | null {
    return this.#state
  }

  get connected(): boolean {
    return this.#connected
  }

  /** Whether the control plane does not accept this gateway's token. */
  get refused(): boolean {
    return this.#refused
  }

  /** 0 while connected. */
  get awayMs(): number {
    return this.#connected ? 0 : this.#parts.clock.now() - this.#awaySinceMs
  }

  start(): void {
    this.#running = this.#follow()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        for await (const { data } of this.#parts.client.followRouting({ signal }))
          this.#take(data as RoutingState)
        this.#lost('The control plane ended the stream.')
      } catch (error) {
        if (signal.aborted) return
        this.#refused = error instanceof ApiError && (error.status === 401 || error.status === 403)
        this.#lost(describeError(error))
      }
      await this.#pause()
    }
  }

  #take(state: RoutingState): void {
    if (!this.#connected) {
      this.#parts.logger.info({ version: state.version }, 'Following the control plane.')
    }
    this.#connected = true
    this.#refused = false
    this.#failures = 0
    this.#state = state
    this.#parts.onState(state)
  }

  #lost(why: string): void {
    if (this.#connected) this.#awaySinceMs = this.#parts.clock.now()
    const level = this.#connected || this.#failures === 0 ? 'warn' : 'debug'
    this.#connected = false
    this.#parts.logger[level](`The control plane is away, what is known stays in force: ${why}`)
  }

  async #pause(): Promise<void> {
    const { firstDelayMs, maxDelayMs } = this.#options.reconnect
    const longest = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(20, this.#failures))
    this.#failures += 1
    const delayMs = longest * (0.5 + this.#parts.random.next() / 2)
    const { signal } = this.#stop
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, delayMs)
      signal.addEventListener('abort', done, { once: true })
    })
  }
}
