import type { StageTime } from '@deos/protocol'

/** One step of the ring, seen from the sessions that were in it. */
export interface SeenStep {
  readonly sessions: number
  readonly times: readonly StageTime[]
}

/**
 * Several steps may be under way, so how many sessions share one is not known beforehand; but all that do are told the same
 * times, to the microsecond, of every stage.
 *
 * @param tokens - for each session the times of tokens that took one step each
 */
export function stepsOf(tokens: readonly (readonly (readonly StageTime[])[])[]): readonly SeenStep[] {
  const steps = new Map<string, { sessions: number; times: readonly StageTime[] }>()
  for (const times of tokens.flat()) {
    const key = times.map(({ waitUs, computeUs, linkUs }) => `${waitUs},${computeUs},${linkUs}`).join(';')
    const known = steps.get(key)
    if (known === undefined) steps.set(key, { sessions: 1, times })
    else known.sessions += 1
  }
  return [...steps.values()]
}
