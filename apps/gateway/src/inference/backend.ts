import type { SampledToken, SamplingParams } from '@deos/domain'
import type { FinishReason, Pooling, RingUsage, SessionNeeds, StageTime } from '@deos/protocol'

/** What every request to a backend says. */
export interface BackendRequest {
  /** Names the request in logs and in the sessions opened for it; unique among running requests. */
  readonly id: string
  /** At least one. */
  readonly tokens: Int32Array
  /** Whose request it is: tenants get equal shares, and cached prefixes are shared only inside one. */
  readonly tenant: string
  /** Higher goes first; 0 is usual. -100 to 100. */
  readonly priority: number
  readonly needs: SessionNeeds
  /** Budget from now until the last token; 0 is unlimited. */
  readonly deadlineMs: number
  /** W3C `traceparent` that whoever works on it reports under. Default none. */
  readonly trace?: string | null
}

/** One sequence to continue, in tokens. Text, templates and stop strings are dealt with above this interface. */
export interface GenerateRequest extends BackendRequest {
  /** At least one. */
  readonly maxTokens: number
  /** Tokens that end the generation; the one that did is delivered as the last token. */
  readonly stopTokens: readonly number[]
  readonly sampling: SamplingParams
  /** Tokens that were generated for it elsewhere: it continues behind them. Default none. */
  readonly delivered?: readonly number[]
}

/** A sequence to turn into one vector. */
export interface EmbedRequest extends BackendRequest {
  readonly pooling: Pooling
}

/** The next token; `finish` is set on the last one. */
export interface GenerateEvent {
  readonly sampled: SampledToken
  readonly finish: FinishReason | null
  /** Positions of the prompt that were not computed because their KV was still there. */
  readonly cachedTokens: number
  /** What its steps took at each stage, where that is known; the first token's are those of the prompt. */
  readonly times?: readonly StageTime[]
}

export interface BackendStatus {
  readonly ready: boolean
  /** Sessions being worked on and waiting. */
  readonly active: number
  readonly queued: number
  /** Longest sequence taken, in tokens; `null` until known. */
  readonly contextLength: number | null
  /** What becomes of the memory for KV; `null` if the backend tells nothing of it. */
  readonly usage: RingUsage | null
  /** For `/health`: whatever helps a person see what is missing. JSON with names in snake_case. */
  readonly details: Readonly<Record<string, unknown>>
}

/** Something that continues token sequences: a ring of workers, or a script in a test. */
export interface Backend {
  status(): BackendStatus
  /**
   * Tokens in order, each once; ends after the token with `finish`. Leaving the loop or aborting cancels the work.
   *
   * @throws InferenceError if the request is refused or its work is lost; the signal's reason once that is aborted
   */
  generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<GenerateEvent>
  /**
   * The pooled hidden states of the last layer, not normalised. Aborting cancels the work.
   *
   * @throws like {@link generate}
   */
  embed(request: EmbedRequest, signal: AbortSignal): Promise<Float32Array>
}
