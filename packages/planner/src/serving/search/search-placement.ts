import type { Random } from '@deos/domain'
import { coverBound } from '../flow/cover-bound.ts'
import { flowBounds } from '../flow/flow-bounds.ts'
import {
  checkFlowInstance,
  checkFlowPlacement,
  type FlowInstance,
  type FlowPlacement,
} from '../flow/flow-instance.ts'
import { Annealer } from './annealer.ts'
import { inCanonicalOrder } from './canonical-order.ts'
import { FlowEvaluator } from './flow-evaluator.ts'
import { startingPlacements } from './starting-placements.ts'

export interface SearchOptions {
  /** Placements to evaluate in all. */
  readonly evaluations: number
  readonly random: Random
  /** Placements to start from beside our own. */
  readonly seeds?: readonly FlowPlacement[]
  /** Asked now and then; true ends the search with what it has, so that a caller with a clock can limit the time. */
  readonly shouldStop?: () => boolean
}

export interface FoundPlacement {
  readonly placement: FlowPlacement
  readonly tokensPerSecond: number
  /** No placement exceeds this. */
  readonly upperBound: number
  /** Share of the bound that is missing: 0 is proven optimal. */
  readonly gap: number
  readonly evaluations: number
}

/** A flow this close to the bound is the bound, but for rounding. */
const proven = 1e-8
/** Devices looked at between two questions to `shouldStop`: as many evaluations are the unit in which starts share. */
const sliceWork = 80_000
const mostSlice = 2_000
/** Temperatures at which walks begin, in turn: the high ones leave what the low ones only polish. */
const temperatures = [0.03, 0.2, 0.08]
/** Of the budget, what finding the most promising starts may cost. */
const scoutShare = 0.3

/**
 * Searches for the placement with the largest flow: simulated annealing from several constructions, first a little from
 * each, then the rest of the budget from the best. Deterministic for one seed and budget, whatever order devices with
 * names of their own are listed in.
 *
 * @throws ServingInstanceError if the instance or a seed placement makes no sense
 */
export function searchPlacement(listed: FlowInstance, options: SearchOptions): FoundPlacement {
  checkFlowInstance(listed)
  for (const seed of options.seeds ?? []) checkFlowPlacement(listed, seed)
  const { instance, from, back } = inCanonicalOrder(listed)
  const upperBound = coverBound(instance, flowBounds(instance).best)
  const slice = Math.min(mostSlice, Math.ceil(sliceWork / Math.max(1, instance.devices.length)))
  const evaluator = new FlowEvaluator(instance)
  const starts = startingPlacements(instance, (options.seeds ?? []).map(from), options)
  const walks = starts.map((start) => new Annealer(evaluator, start, options.random, upperBound))
  let evaluations = walks.length
  const reached = () => Math.max(...walks.map((walk) => walk.bestFlow))
  const done = () =>
    evaluations >= options.evaluations ||
    reached() >= upperBound * (1 - proven) ||
    options.shouldStop?.() === true
  const run = (walk: Annealer, budget: number, hot: number) => {
    walk.heat(hot)
    for (let spent = 0; spent < budget && !done(); spent += slice) {
      walk.step(slice, spent / budget, Math.min(1, (spent + slice) / budget))
      evaluations += slice
    }
  }
  const scout = Math.max(slice, (options.evaluations * scoutShare) / walks.length)
  for (const walk of walks) run(walk, scout, temperatures[0]!)
  const promising = [...walks].sort((a, b) => b.bestFlow - a.bestFlow).slice(0, 3)
  const share = Math.max(slice, (options.evaluations * (1 - scoutShare)) / 9)
  for (let round = 0; !done(); round += 1) {
    const hot = temperatures[Math.floor(round / promising.length + 1) % temperatures.length]!
    run(promising[round % promising.length]!, share, hot)
  }
  const best = walks.reduce((a, b) => (b.bestFlow > a.bestFlow ? b : a))
  return {
    placement: back(best.bestPlacement()),
    tokensPerSecond: best.bestFlow,
    upperBound,
    gap: Math.max(0, 1 - best.bestFlow / upperBound),
    evaluations,
  }
}
