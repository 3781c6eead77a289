import type { SampledToken, SamplingParams } from '@deos/domain'
import type { RingCapacity, SessionKey, StepEntry } from './messages.ts'

/** A session as the executor needs it; sampling happens where the head is. */
export interface EngineSession {
  readonly key: SessionKey
  /** Prompt and resumed tokens: history for penalties. */
  readonly tokens: Int32Array
  /** How many of `tokens` count as generated. */
  readonly resumed: number
  readonly sampling: SamplingParams
}

export interface EngineStep {
  readonly entries: readonly StepEntry[]
  /** Token ids of all entries, one after another, for a stage that embeds; else `null`. */
  readonly tokens: Int32Array | null
  /** `[total count, hiddenSize]` little-endian float32 for a stage that does not embed; else `null`. */
  readonly hidden: Uint8Array | null
}

export interface EngineStepResult {
  /** `[total count, hiddenSize]` float32 unless this stage holds the head; then empty. */
  readonly hidden: Uint8Array
  /** One for each entry with `sample`, in order, when this stage holds the head; else empty. */
  readonly sampled: readonly SampledToken[]
  /** Time spent on the step, waiting behind earlier ones left out, in whole microseconds. */
  readonly computeUs: number
}

/**
 * The worker's executor of one stage. Calls take effect in the order they are made: a `close` after a `step`
 * frees pages when that step is through. A failed step leaves the engine unusable until `reset`.
 */
export interface StageEngine {
  readonly capacity: RingCapacity
  open(session: EngineSession): void
  close(key: SessionKey): void
  step(step: EngineStep): Promise<EngineStepResult>
  /** Forgets every session and frees every page. */
  reset(): Promise<void>
  /** Pages not held by any session, after all earlier calls took effect. */
  freePages(): Promise<number>
  stop(): Promise<void>
}
