import type { ServingWorkload } from '@deos/planner'
import { type ServingResult, shareWithin } from '../serving/serving-result.ts'

/** Of a service that is played from the middle of its work. */
export interface SteadyFlow {
  /** As many as have their prompts done in the time in which so many come. */
  readonly promptsPerS: number
  /**
   * What is served in the long run: no more than prompts, for what is under way has tokens while they wait; and no more
   * than tokens, for prompts go on while answers find no room.
   */
  readonly requestsPerS: number
}

/** @param meanOutput - tokens of an answer */
export function steadyFlow(
  { promptMs, decodeTokensPerSecond }: ServingResult,
  { rate, came, meanOutput }: { readonly rate: number; readonly came: number; readonly meanOutput: number },
): SteadyFlow {
  const promptsPerS = rate * Math.min(1, promptMs.length / came)
  return { promptsPerS, requestsPerS: Math.min(promptsPerS, decodeTokensPerSecond / meanOutput) }
}

/**
 * Of the requests that are served, those whose own TTFT and mean TPOT are within the targets, as if one said nothing of
 * the other: few requests have all of both in the time that is played.
 */
export const shareWithinTargets = (
  { promptMs, meanStepMs }: Pick<ServingResult, 'promptMs' | 'meanStepMs'>,
  { ttftMs, tpotMs }: Pick<ServingWorkload, 'ttftMs' | 'tpotMs'>,
): number => shareWithin(promptMs, ttftMs) * shareWithin(meanStepMs, tpotMs)
