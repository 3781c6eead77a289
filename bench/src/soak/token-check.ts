/** What `/v1/completions` reports of an answer's tokens. */
export interface TokenReport {
  readonly tokens: readonly string[]
  readonly token_logprobs: readonly number[]
  readonly top_logprobs: readonly Readonly<Record<string, number>>[]
}

/**
 * A greedy answer of a batch may take the other of two tokens that are as likely as each other to the last digits,
 * since kernels for several rows add in another order. Beyond this gap, in nats, a token is wrong.
 */
export const TIE_NATS = 0.02

/**
 * Compares an answer with the same request run alone: the first token that differs must have been as good as the
 * alone run's own. What follows has another beginning and is not comparable.
 *
 * @returns what is wrong, or `null`
 */
export function wrongToken(answer: TokenReport, alone: TokenReport): string | null {
  const at = answer.tokens.findIndex((token, index) => token !== alone.tokens[index])
  if (at === -1) {
    return answer.tokens.length === alone.tokens.length
      ? null
      : `${answer.tokens.length} tokens came, ${alone.tokens.length} in the run alone`
  }
  const given = answer.tokens[at]!
  const likely = alone.top_logprobs[at]
  if (likely === undefined) return `token ${at} came, though the run alone had ended`
  const best = Math.max(...Object.values(likely))
  const logprob = likely[given]
  if (logprob !== undefined && best - logprob <= TIE_NATS) return null
  const gap = logprob === undefined ? 'not among the likeliest' : `${(best - logprob).toFixed(3)} nats behind`
  return `token ${at} is ${JSON.stringify(given)}, ${gap} in the run alone`
}
