import type { SampledToken, SamplingParams } from '@deos/domain'
import type { FinishReason } from '@deos/protocol'

/** One sequence to continue, in tokens. Text, templates and stop strings are dealt with above this interface. */
export interface GenerateRequest {
  /** Names the request in logs and in the sessions opened for it; unique among running requests. */
  readonly id: string
  /** At least one. */
  readonly tokens: Int32Array
  /** At least one. */
  readonly maxTokens: number
  /** Tokens that end the generation; the one that did is delivered as the last token. */
  readonly stopTokens: readonly number[]
  readonly sampling: SamplingParams
  /** Budget from now until the last token; 0 is unlimited. */
  readonly deadlineMs: number
}

/** The next token; `finish` is set on the last one. */
export interface GenerateEvent {
  readonly sampled: SampledToken
  readonly finish: FinishReason | null
}

export interface BackendStatus {
  readonly ready: boolean
  /** Sessions being worked on and waiting. */
  readonly active: number
  readonly queued: number
  /** Longest sequence taken, in tokens; `null` until known. */
  readonly contextLength: number | null
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
}
