/** How the next token is chosen. Field meanings follow OpenAI's API and llama.cpp's samplers. */
export interface SamplingParams {
  /** 0 is greedy. */
  readonly temperature: number
  /** Keep the k most likely tokens; 0 keeps all. */
  readonly topK: number
  /** Keep the smallest set whose probability reaches p; 1 keeps all. */
  readonly topP: number
  /** Drop tokens less likely than `minP` × the likeliest; 0 drops none. */
  readonly minP: number
  /** Divides positive and multiplies negative logits of seen tokens (prompt and output); 1 is off. */
  readonly repetitionPenalty: number
  /** Subtracted once from logits of tokens already generated. */
  readonly presencePenalty: number
  /** Subtracted per earlier occurrence from logits of tokens already generated. */
  readonly frequencyPenalty: number
  /** Added to the logit of a token. */
  readonly logitBias: readonly (readonly [token: number, bias: number])[]
  /** Key of the noise PRF, an unsigned 64-bit integer as a decimal string. */
  readonly seed: string
  /** How many alternatives to report beside the chosen token's log-probability; `null` reports none at all. */
  readonly logprobs: number | null
}

export const defaultSampling: SamplingParams = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  seed: '0',
  logprobs: null,
}

/** Log-probabilities are natural logarithms of the distribution before temperature and filters. */
export interface TokenLogprobs {
  readonly logprob: number
  /** Most likely first. */
  readonly top: readonly { readonly token: number; readonly logprob: number }[]
}

export interface SampledToken {
  readonly token: number
  readonly logprobs: TokenLogprobs | null
}
