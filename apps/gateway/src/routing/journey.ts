import {
  InterruptedError,
  NotReadyError,
  PromptTooLongError,
  QueueFullError,
  RefusedRequestError,
} from '../inference/errors.ts'
import type { Replica } from './replica.ts'

/** An answer leaves a replica that does not come back in time. */
export class MovedError extends Error {
  override readonly name = 'MovedError'
}

/** A replica that just refused a request is not asked again at once. */
const AGAIN_MS = 500

/** The way of one answer from replica to replica: where it was, what it met, and where it may still go. */
export class Journey {
  interruptions = 0
  /** Why it may not go on anywhere. */
  fatal: InterruptedError | null = null
  /** Since when it makes no progress: from its beginning, or from its last interruption. */
  waitingSinceMs: number
  /** Whether any part of the answer came already. */
  begun = false
  #moves = 0
  #full: QueueFullError | null = null
  readonly #fullUntilMs = new Map<Replica, number>()
  readonly #avoidUntilMs = new Map<Replica, number>()
  readonly #never = new Set<Replica>()

  constructor(
    readonly id: string,
    startMs: number,
  ) {
    this.waitingSinceMs = startMs
  }

  /** A name for the next attempt that no other has. */
  nextId(): string {
    this.#moves += 1
    return this.#moves === 1 ? this.id : `${this.id}~${this.#moves}`
  }

  /** Replicas that it has been sent to. */
  get moves(): number {
    return this.#moves
  }

  mayGoTo(replica: Replica, nowMs: number): boolean {
    return (
      !this.#never.has(replica) &&
      (this.#avoidUntilMs.get(replica) ?? 0) <= nowMs &&
      (this.#fullUntilMs.get(replica) ?? 0) <= nowMs
    )
  }

  /** The refusal to pass on, if every one of these has no room and nothing of the answer was seen yet. */
  refusal(ready: readonly Replica[]): QueueFullError | null {
    const full = ready.length > 0 && ready.every((replica) => this.#fullUntilMs.has(replica))
    return full && !this.begun ? this.#full : null
  }

  /**
   * Notes why it left a replica.
   *
   * @throws the error itself if going elsewhere would not help
   */
  left(replica: Replica, error: unknown, nowMs: number): void {
    if (this.fatal !== null) throw this.fatal
    if (error instanceof QueueFullError) {
      this.#full = error
      this.#fullUntilMs.set(replica, nowMs + error.retryAfterMs)
    } else if (error instanceof MovedError || error instanceof InterruptedError) {
      replica.failed()
      this.#avoidUntilMs.set(replica, nowMs + AGAIN_MS)
    } else if (error instanceof NotReadyError) {
      this.#avoidUntilMs.set(replica, nowMs + AGAIN_MS)
    } else if (this.begun && (error instanceof PromptTooLongError || error instanceof RefusedRequestError)) {
      // What one ring took, another may be too small for.
      this.#never.add(replica)
    } else throw error
  }
}
