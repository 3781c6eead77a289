import type { TokenLogprobs } from '@deos/domain'
import { expNonPositive } from './exponential.ts'
import { selectTop, sortedCandidates } from './filters.ts'
import type { Scratch } from './scan.ts'

/** Log of the sum of exponentials: what a logit loses to become a log-probability. */
function logSumExp(logits: Float32Array, maximum: number): number {
  let sum = 0
  for (let i = 0; i < logits.length; i += 1) sum += expNonPositive(logits[i]! - maximum)
  return maximum + Math.log(sum)
}

/**
 * Log-probabilities by the model's own logits.
 *
 * @param maximum - the largest logit
 * @param scratch - its `blockMaxima` belong to `logits`
 */
export function tokenLogprobs(
  logits: Float32Array,
  maximum: number,
  token: number,
  topCount: number,
  scratch: Scratch,
): TokenLogprobs {
  const normaliser = logSumExp(logits, maximum)
  const count = topCount === 0 ? 0 : selectTop(logits, topCount, scratch)
  const top = Array.from(sortedCandidates(logits, count, scratch), (id) => ({
    token: id,
    logprob: logits[id]! - normaliser,
  }))
  return { logprob: logits[token]! - normaliser, top }
}
