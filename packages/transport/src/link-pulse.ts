import type { LinkLimits } from './link-limits.ts'
import { every, type Timers } from './timers.ts'

/**
 * Keeps a link audible and notices when its peer is not: TCP alone may take a quarter of an hour to give up on a
 * machine that vanished while data was under way.
 */
export class LinkPulse {
  #sentMs: number
  #heardMs: number
  #checkedMs: number
  readonly #stop: () => void

  /**
   * @param beat - sends a heartbeat
   * @param onSilence - the peer has not been heard for too long; called once
   */
  constructor(
    private readonly limits: LinkLimits,
    private readonly timers: Timers,
    private readonly beat: () => void,
    private readonly onSilence: (silentMs: number) => void,
  ) {
    this.#sentMs = timers.now()
    this.#heardMs = this.#sentMs
    this.#checkedMs = this.#sentMs
    this.#stop = every(timers, limits.heartbeatMs / 2, () => this.#check())
  }

  sent(): void {
    this.#sentMs = this.timers.now()
  }

  heard(): void {
    this.#heardMs = this.timers.now()
  }

  stop(): void {
    this.#stop()
  }

  #check(): void {
    const now = this.timers.now()
    const pauseMs = now - this.#checkedMs
    this.#checkedMs = now
    const { heartbeatMs, silenceMs } = this.limits
    if (now - this.#sentMs >= heartbeatMs) this.beat()
    // After a pause of this process, what the peer sent meanwhile has not been read yet.
    if (pauseMs > heartbeatMs) return
    const silentMs = now - this.#heardMs
    if (silentMs < silenceMs) return
    this.stop()
    this.onSilence(silentMs)
  }
}
