/** Sequences that decode together. */
export const batches = [1, 2, 4, 8, 16] as const
export type Batch = (typeof batches)[number]
export const maxBatch = Math.max(...batches)

/** Tokens of the prompts whose prefill is measured. */
export const promptLengths = [128, 512, 2048, 4096] as const
export type PromptLength = (typeof promptLengths)[number]

/** Thresholds the figures are held to. */
export const decodeBars: Record<Batch, number> = { 1: 0.95, 2: 1, 4: 1, 8: 1, 16: 1 }
export const prefillBar = 0.95
export const bandwidthShareBar = 0.8

export interface EnginePlan {
  readonly decodePairs: number
  /** Tokens each sequence holds when decoding starts. */
  readonly depth: number
  /** Short runs: on a machine that does other things too, more pairs say more than longer ones. */
  readonly steps: Record<Batch, number>
  /** Pairs of each prompt length; 0 skips it. */
  readonly prefillPairs: Record<PromptLength, number>
}

export const fullPlan: EnginePlan = {
  ...{ decodePairs: 9, depth: 128 },
  steps: { 1: 24, 2: 12, 4: 8, 8: 6, 16: 4 },
  prefillPairs: { 128: 7, 512: 4, 2048: 3, 4096: 2 },
}

export const quickPlan: EnginePlan = {
  ...{ decodePairs: 7, depth: 32 },
  steps: { 1: 8, 2: 6, 4: 3, 8: 2, 16: 2 },
  prefillPairs: { 128: 3, 512: 2, 2048: 0, 4096: 0 },
}

/** Prompts from here on run for many seconds: with the smaller of the made-up models, and without a warm-up. */
export const longPromptTokens = 2048
