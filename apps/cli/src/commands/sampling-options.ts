/** Choices about an answer; `null` leaves them to the server. */
export interface SamplingOptions {
  readonly maxTokens: number | null
  readonly temperature: number | null
  readonly topP: number | null
  readonly seed: number | null
  readonly stop: readonly string[]
}

/** The same as fields of a request. */
export function samplingFields(options: SamplingOptions): Readonly<Record<string, unknown>> {
  const { maxTokens, temperature, topP, seed, stop } = options
  return {
    ...(maxTokens !== null && { max_tokens: maxTokens }),
    ...(temperature !== null && { temperature }),
    ...(topP !== null && { top_p: topP }),
    ...(seed !== null && { seed }),
    ...(stop.length > 0 && { stop }),
  }
}
