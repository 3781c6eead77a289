import type { ServingWorkload } from '@deos/planner'
import type { DrawnLoad } from './play-drawn.ts'

/** Means of what is served. */
export interface ServedTimes {
  readonly ttftMs: number
  readonly tpotMs: number
}

export interface Served extends ServedTimes {
  /** That are computed. */
  readonly promptsPerS: number
}

export interface SteadyLoad extends Pick<DrawnLoad, 'requestsPerS' | 'seed'> {
  /** So many requests are played in any case. */
  readonly least: number
  readonly seconds: number
}

/** Changes of what is under way that are no longer worth another play. */
const tolerance = 0.08
const corrections = 4

/**
 * Plays a service from the middle of its work, which is where times that are expected say: at first as predicted, then as
 * they were measured the time before, until both agree. Playing from an empty service until it is full takes ten times as
 * long where answers are long.
 *
 * @param play - with as many requests in their answers at the beginning as such a service means
 */
export function untilSteady<T extends Served>(expected: Served, play: (expected: Served) => T): T {
  let served = play(expected)
  let before = expected
  for (let round = 0; round < corrections; round += 1) {
    const change = (served.promptsPerS * served.tpotMs) / (before.promptsPerS * before.tpotMs) - 1
    if (Math.abs(change) <= tolerance || !Number.isFinite(served.ttftMs + served.tpotMs)) break
    before = served
    served = play(before)
  }
  return served
}

/** Requests that come to a service in the middle of its work, for so long. */
export const steadyLoad = (
  expected: Served,
  { requestsPerS, seed, least, seconds }: SteadyLoad,
  { outputTokens }: Pick<ServingWorkload, 'outputTokens'>,
): DrawnLoad => ({
  requestsPerS,
  seed,
  requests: Math.max(least, Math.ceil(requestsPerS * seconds)),
  underWay: {
    // By Little's law.
    requests: Math.round((expected.promptsPerS * outputTokens.mean * expected.tpotMs) / 1000),
    overMs: expected.tpotMs,
  },
  endsWithWindow: true,
})
