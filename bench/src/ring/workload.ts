import { defaultSampling, type SamplingParams } from '@deos/domain'

export const greedy: SamplingParams = { ...defaultSampling, temperature: 0 }

/** Distinct prompts of one length. */
export const promptsOf = (vocabSize: number, sessions: number, length: number): readonly Int32Array[] =>
  Array.from({ length: sessions }, (_, session) =>
    Int32Array.from({ length }, (_, index) => (7919 * index + 101 * session + 13) % vocabSize),
  )
