import type { SampledToken, SamplingParams } from '@deos/domain'
import type { Pooling, RingCapacity, SessionKey, SessionNeeds, StepEntry } from './messages.ts'

/** A session as the executor needs it; sampling happens where the head is. */
export interface EngineSession {
  readonly key: SessionKey
  /** Prompt and resumed tokens: history for penalties. */
  readonly tokens: Int32Array
  /** How many of `tokens` count as generated. */
  readonly resumed: number
  /** Generated tokens at most, resumed ones included. */
  readonly maxTokens: number
  readonly sampling: SamplingParams
  readonly needs: SessionNeeds
  readonly pooling: Pooling | null
  /** Positions that the session begins with, already computed, in `pages`. */
  readonly cachedTokens: number
  readonly pages: readonly number[]
}

export interface EngineStep {
  readonly entries: readonly StepEntry[]
  /**
   * Token ids of all entries, one after another, for a stage that embeds; else `null`. {@link LAST_SAMPLED} comes
   * only to an engine that holds the whole model.
   */
  readonly tokens: Int32Array | null
  /** `[total count, hiddenSize]` little-endian float32 for a stage that does not embed; else `null`. */
  readonly hidden: Uint8Array | null
}

export interface EngineStepResult {
  /** `[total count, hiddenSize]` float32 unless this stage holds the head; then empty. */
  readonly hidden: Uint8Array
  /** One for each entry with `sample` whose session generates, in order, when this stage holds the head; else empty. */
  readonly sampled: readonly SampledToken[]
  /** The same for sessions that pool: `[hiddenSize]` float32 each. */
  readonly pooled: readonly Uint8Array[]
  /** Time spent on the step, waiting behind earlier ones left out, in whole microseconds. */
  readonly computeUs: number
}

/**
 * The worker's executor of one stage. Calls take effect in the order they are made: a `close` after a `step`
 * frees pages when that step is through. A failed step leaves the engine unusable until `reset`.
 *
 * Whose pages are whose is the leader's business, with one numbering for the whole ring: the engine stores positions
 * in the pages it is told, and may find several sessions reading one page.
 */
export interface StageEngine {
  readonly capacity: RingCapacity
  /**
   * Gets ready for sessions with these needs, beside steps that run meanwhile.
   *
   * @param maxTokens - what a grammar must be able to come to an end within
   * @throws Error saying what is wrong with the needs; the engine stays usable
   */
  prepare(needs: SessionNeeds, maxTokens: number): Promise<void>
  /** The needs were prepared since the last reset. */
  open(session: EngineSession): void
  close(key: SessionKey): void
  step(step: EngineStep): Promise<EngineStepResult>
  /** Forgets every session. */
  reset(): Promise<void>
  /** Pages that no open session holds, after all earlier calls took effect. */
  freePages(): Promise<number>
  stop(): Promise<void>
}
