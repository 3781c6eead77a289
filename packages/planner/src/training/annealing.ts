import type { Random } from '@deos/domain'

/** A state that changes in small steps, each tried before it is kept. */
export interface Neighbourhood {
  readonly cost: number
  /** Makes a random step and gives the cost after it; `null` if the step drawn changes nothing. */
  step(random: Random): number | null
  /** Keeps the step made last. */
  keep(): void
  /** Goes back to before it. */
  revert(): void
}

export interface Cooling {
  readonly steps: number
  /** In units of cost: how much worse a step is taken with a chance of 1/e, first and last. */
  readonly from: number
  readonly to: number
}

/**
 * Simulated annealing with exponential cooling.
 *
 * @param improved - told whenever a state is kept that is better than all before
 */
export function anneal(state: Neighbourhood, cooling: Cooling, random: Random, improved: () => void): void {
  let best = state.cost
  const decay = (cooling.to / cooling.from) ** (1 / Math.max(1, cooling.steps - 1))
  let temperature = cooling.from
  for (let step = 0; step < cooling.steps; step += 1, temperature *= decay) {
    const before = state.cost
    const after = state.step(random)
    if (after === null) continue
    if (after > before && random.next() >= Math.exp((before - after) / temperature)) {
      state.revert()
      continue
    }
    state.keep()
    if (after < best) {
      best = after
      improved()
    }
  }
}
