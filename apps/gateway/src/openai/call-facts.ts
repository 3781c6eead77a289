import type { TextModel } from '../inference/text-model.ts'

/** What every body and chunk of one call repeats. */
export interface CallFacts {
  readonly id: string
  readonly createdSeconds: number
  readonly model: TextModel
  readonly promptTokens: number
  readonly answers: number
  /** How many answers in a row share a prompt. */
  readonly answersPerPrompt: number
  /** Whether log-probabilities were asked for. */
  readonly logprobs: boolean
  readonly includeUsage: boolean
}

/** `system_fingerprint`: changes with the weights. */
export const fingerprint = (model: TextModel): string => `fp_${model.fingerprint.slice(0, 12)}`
