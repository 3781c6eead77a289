/** Which prompts a prefill ring computes: those that are sooner ready so, as measured; all; or none. */
export const splitModes = ['auto', 'always', 'never'] as const
export type SplitMode = (typeof splitModes)[number]

/**
 * How KV travels between rings: with every bit; with a loss that is compared before the first token leaves; or so, and
 * better copies follow while the answer goes on.
 */
export const qualityModes = ['lossless', 'guarded', 'refined'] as const
export type QualityMode = (typeof qualityModes)[number]
