import type { ProblemMapping } from '@deos/api'

/** How refusals of models are told when they come at once; those of the work on a model become its reason. */
export const modelProblems = {
  MODEL_SOURCE_REFUSED: 'forbidden',
  OUTGOING_REFUSED: 'forbidden',
} as const satisfies ProblemMapping
