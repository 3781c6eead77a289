import type {
  KvLayerLayout,
  KvSlice,
  KvSliceWrite,
  LayerRange,
  SampledToken,
  SamplingParams,
} from '@deos/domain'
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
  /** W3C `traceparent` to report its steps under; `null` reports nothing. */
  readonly trace: string | null
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
  /** `hidden` is coded, in fewer bytes. */
  readonly coded?: true
}

export interface EngineStepResult {
  /** `[total count, hiddenSize]` float32 unless this stage holds the head; then empty. */
  readonly hidden: Uint8Array
  /** `hidden` is coded, in fewer bytes. */
  readonly coded?: true
  /** One for each entry with `sample` whose session generates, in order, when this stage holds the head; else empty. */
  readonly sampled: readonly SampledToken[]
  /** The same for sessions that pool: `[hiddenSize]` float32 each. */
  readonly pooled: readonly Uint8Array[]
  /** Time spent on the step, waiting behind earlier ones left out, in whole microseconds. */
  readonly computeUs: number
}

/** What K and V of an engine are. */
export interface EngineKv {
  readonly layers: LayerRange
  /** What the cache stores values as; slices as they are stored fit engines of the same type only. */
  readonly type: string
  /** One for each of the layers, in order. */
  readonly layouts: readonly KvLayerLayout[]
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
  readonly kv: EngineKv
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
  /**
   * Copies K or V of one layer out of pages, as all calls made before left them: a chunk's right after the step that
   * computes it, while its other layers are copied and the next chunk is computed. Steps asked for later go first if they
   * can, so nobody else may be given the pages until it resolves.
   *
   * @returns `[positions, columns]`, rows as {@link EngineKv.layouts} say
   * @throws Error if the slice is no part of this engine, which stays usable
   */
  readKv(slice: KvSlice): Promise<Uint8Array>
  /**
   * The inverse of {@link StageEngine.readKv}, into pages that no open session holds. A session is opened with them, as
   * with those of a cached prefix, when all of them are written.
   *
   * @param isWanted - asked when nothing that is called later can come before the write any more: pages may be given to
   *   others while it waits
   * @throws Error if it is not wanted any more, does not fit or has values that are not finite; the engine stays usable
   */
  writeKv(slice: KvSliceWrite, isWanted?: () => boolean): Promise<void>
  /** Forgets every session; slices that wait may fail. */
  reset(): Promise<void>
  /** Pages that no open session holds, after all earlier calls took effect. */
  freePages(): Promise<number>
  stop(): Promise<void>
}
