/** Which prompts a prefill ring computes: those that are sooner ready so, as measured; all; or none. */
export const splitModes = ['auto', 'always', 'never'] as const
export type SplitMode = (typeof splitModes)[number]
