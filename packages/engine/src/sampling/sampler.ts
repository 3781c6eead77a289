import type { SampledToken, SamplingParams } from '@deos/domain'
import { EmptyMaskError, InvalidLogitsError } from './errors.ts'
import { applyFilters, Cut } from './filters.ts'
import { tokenLogprobs } from './logprobs.ts'
import { NoiseSource } from './noise.ts'
import { Penalties } from './penalties.ts'
import { raceTokens } from './race.ts'
import { argmax, type Scratch, scanBlocks, scratchFor } from './scan.ts'
import { applyMask } from './token-mask.ts'

/** Temperatures below this are greedy; dividing by them would only overflow. */
export const GREEDY_BELOW = 1e-5

/**
 * Chooses the tokens of one session. The steps, in order:
 *
 * 1. log-probabilities to report: softmax of the logits as the model gave them
 * 2. logit bias (added)
 * 3. repetition penalty over prompt and output; presence and frequency penalties over the output alone
 * 4. the mask, where there is one: what it does not allow counts as minus infinity from here on
 * 5. temperature; 0 takes the largest logit (lowest id on a tie) and ends here
 * 6. top-k: exactly k tokens, lower ids first on a tie
 * 7. top-p: the shortest prefix, likeliest first, whose share of what top-k left reaches p; at least one token
 * 8. min-p: tokens at least `minP` times as likely as the likeliest
 * 9. the largest `logit / temperature + noise`, noise being a pure function of (seed, position, token)
 *
 * Steps 2–3 follow vLLM, 5–8 Hugging Face transformers. Since the noise depends on nothing else, a session that is
 * opened again with its delivered tokens continues identically, and a draft model with the same seed tends to pick
 * the same tokens. Biases of tokens the model does not have are without effect.
 */
export class Sampler {
  readonly #params: SamplingParams
  readonly #noise: NoiseSource
  readonly #penalties: Penalties
  readonly #cut = new Cut()

  /**
   * @param history - prompt and, when a session resumes, its already generated tokens
   * @param resumed - how many tokens at the end of `history` were generated
   * @throws RangeError if a parameter is outside its range
   */
  constructor(params: SamplingParams, history: Int32Array, resumed: number) {
    checkParams(params)
    if (!Number.isInteger(resumed) || resumed < 0 || resumed > history.length) {
      throw new RangeError(`${resumed} generated tokens cannot lie in a history of ${history.length}.`)
    }
    this.#params = params
    this.#noise = new NoiseSource(params.seed)
    this.#penalties = new Penalties(params, history, resumed)
  }

  /**
   * Chooses a token and counts it as generated.
   *
   * @param logits - one for each token of the vocabulary; left as they are
   * @param position - absolute position of the token being chosen: the length of everything before it
   * @param mask - which tokens may be chosen: bit `i & 31` of word `i >> 5` for token `i`; `null` is all
   * @throws InvalidLogitsError if a logit is NaN or infinite; EmptyMaskError if the mask allows no token; RangeError if
   *   it is not one for this vocabulary
   */
  sample(logits: Float32Array, position: number, mask: Uint32Array | null = null): SampledToken {
    if (!Number.isInteger(position) || position < 0 || position > 0xffffffff) {
      throw new RangeError(`Position ${position} is not an unsigned 32-bit integer.`)
    }
    const scratch = scratchFor(logits.length)
    const token = this.#choose(logits, position, mask, scratch)
    this.#penalties.recordGenerated(token)
    if (this.#params.logprobs === null) return { token, logprobs: null }
    const likeliest = scanBlocks(logits, scratch.blockMaxima)
    return {
      token,
      logprobs: tokenLogprobs(logits, logits[likeliest]!, token, this.#params.logprobs, scratch),
    }
  }

  #choose(raw: Float32Array, position: number, mask: Uint32Array | null, scratch: Scratch): number {
    const { temperature, topK, topP, minP } = this.#params
    let logits = raw
    if (this.#penalties.active || mask) {
      logits = scratch.adjusted
      logits.set(raw)
      if (this.#penalties.active) this.#penalties.apply(logits)
      if (mask && !applyMask(logits, mask)) throw new EmptyMaskError(position)
    }
    if (temperature < GREEDY_BELOW) {
      const token = argmax(logits)
      if (token < 0) throw invalidLogits(raw, position)
      return token
    }
    const likeliest = scanBlocks(logits, scratch.blockMaxima)
    if (likeliest < 0) throw invalidLogits(raw, position)
    const inverseTemperature = 1 / temperature
    const filters = { topK, topP, minP }
    applyFilters(this.#cut, logits, logits[likeliest]!, inverseTemperature, filters, scratch)
    return raceTokens(
      logits,
      scratch.blockMaxima,
      likeliest,
      inverseTemperature,
      this.#cut,
      this.#noise,
      position,
    )
  }
}

function invalidLogits(logits: Float32Array, position: number): InvalidLogitsError {
  const token = logits.findIndex((logit) => !Number.isFinite(logit))
  return new InvalidLogitsError(position, token, token < 0 ? Number.NaN : logits[token]!)
}

function checkParams(params: SamplingParams): void {
  checkRange('temperature', params.temperature, 0, 1e6)
  checkCount('topK', params.topK)
  checkRange('topP', params.topP, 0, 1)
  checkRange('minP', params.minP, 0, 1)
  checkRange('repetitionPenalty', params.repetitionPenalty, 0.01, 100)
  checkRange('presencePenalty', params.presencePenalty, -100, 100)
  checkRange('frequencyPenalty', params.frequencyPenalty, -100, 100)
  for (const [token, bias] of params.logitBias) {
    checkCount('logitBias token', token)
    checkRange('logitBias', bias, -100, 100)
  }
  if (params.logprobs !== null) checkCount('logprobs', params.logprobs)
}

function checkRange(name: string, value: number, least: number, most: number): void {
  if (!(value >= least && value <= most)) {
    throw new RangeError(`${name} is ${value}; it must be between ${least} and ${most}.`)
  }
}

function checkCount(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${name} is ${value}; it must be a whole number, at least 0.`)
  }
}
