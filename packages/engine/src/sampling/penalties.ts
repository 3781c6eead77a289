import type { SamplingParams } from '@deos/domain'

/** What was said so far, and what that and the logit bias change. */
export class Penalties {
  readonly #params: SamplingParams
  readonly #countsHistory: boolean
  /** Generated occurrences of every seen token; 0 for one only in the prompt. */
  readonly #seen = new Map<number, number>()

  constructor(params: SamplingParams, history: Int32Array, resumed: number) {
    this.#params = params
    this.#countsHistory =
      params.repetitionPenalty !== 1 || params.presencePenalty !== 0 || params.frequencyPenalty !== 0
    const promptLength = history.length - resumed
    for (let i = 0; i < promptLength; i += 1) this.#note(history[i]!, 0)
    for (let i = promptLength; i < history.length; i += 1) this.#note(history[i]!, 1)
  }

  /** Whether the logits change at all. */
  get active(): boolean {
    return this.#countsHistory || this.#params.logitBias.length > 0
  }

  recordGenerated(token: number): void {
    this.#note(token, 1)
  }

  /** Bias first, then the repetition penalty, then presence and frequency. */
  apply(logits: Float32Array): void {
    for (const [token, bias] of this.#params.logitBias) {
      if (token < logits.length) logits[token] = logits[token]! + bias
    }
    if (!this.#countsHistory) return
    const { repetitionPenalty, presencePenalty, frequencyPenalty } = this.#params
    for (const [token, count] of this.#seen) {
      if (token >= logits.length) continue
      let logit = logits[token]!
      logit = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty
      if (count > 0) logit -= presencePenalty + count * frequencyPenalty
      logits[token] = logit
    }
  }

  #note(token: number, generated: number): void {
    if (this.#countsHistory) this.#seen.set(token, (this.#seen.get(token) ?? 0) + generated)
  }
}
