import { InterruptedError } from '../inference/errors.ts'
import { RingBackend } from '../inference/ring-backend.ts'
import { type Journey, MovedError } from './journey.ts'
import type { Replica } from './replica.ts'
import type { RoutedBackendOptions, RoutedBackendParts } from './routed-backend.ts'

/** While an answer is interrupted, whether it must move is looked at so often. */
const LOOK_MS = 50

/** An answer's time at one replica: notices when the replica fails, and when it is time to go elsewhere. */
export class Stay {
  readonly ring: RingBackend
  readonly #replica: Replica
  readonly #journey: Journey
  readonly #options: RoutedBackendOptions
  readonly #parts: RoutedBackendParts
  readonly #leave = new AbortController()
  #interruptedMs: number | null = null
  #timer: NodeJS.Timeout | null = null
  #lastMs: number | null = null

  constructor(
    replica: Replica,
    journey: Journey,
    options: RoutedBackendOptions,
    parts: RoutedBackendParts,
    onInterrupted: (reason: string) => void,
  ) {
    this.#replica = replica
    this.#journey = journey
    this.#options = options
    this.#parts = parts
    this.ring = new RingBackend(replica.session!, {
      model: replica.model,
      // Counted over all replicas, here.
      maxInterruptions: Number.POSITIVE_INFINITY,
      onInterrupted: (_, reason) => {
        onInterrupted(reason)
        this.#interrupted(reason)
      },
    })
  }

  /** Aborts when the answer is to leave. */
  get signal(): AbortSignal {
    return this.#leave.signal
  }

  /** When something last came from this replica; `-Infinity` if nothing did. */
  get lastProgressMs(): number {
    return this.#lastMs ?? Number.NEGATIVE_INFINITY
  }

  progress(): void {
    const nowMs = this.#parts.clock.now()
    // The first token holds the prompt's time, and one after a fault the fault's.
    if (this.#lastMs !== null && this.#interruptedMs === null) this.#replica.observe(nowMs - this.#lastMs)
    this.#lastMs = nowMs
    this.#interruptedMs = null
    this.#journey.begun = true
    this.#stopLooking()
  }

  end(): void {
    this.#stopLooking()
  }

  #interrupted(reason: string): void {
    const journey = this.#journey
    journey.interruptions += 1
    if (journey.interruptions > this.#options.maxInterruptions) {
      journey.fatal = new InterruptedError(
        `rings failed ${journey.interruptions} times during this answer. ${reason}`,
      )
      this.#leave.abort(journey.fatal)
      return
    }
    if (this.#interruptedMs === null) {
      this.#interruptedMs = this.#parts.clock.now()
      journey.waitingSinceMs = this.#interruptedMs
    }
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS)
  }

  #look(): void {
    // It goes on by itself.
    if (this.#replica.ready) return
    const waitedMs = this.#parts.clock.now() - (this.#interruptedMs ?? 0)
    if (this.#replica.listed && waitedMs < this.#options.failoverPatienceMs) return
    const others = this.#parts.pool.of(this.#replica.deploymentId)
    if (others.some((other) => other !== this.#replica && other.ready)) {
      this.#leave.abort(new MovedError('Another replica is ready, this one is not.'))
    }
  }

  #stopLooking(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }
}
