import type { Random } from '@deos/domain'
import {
  checkFlowInstance,
  checkFlowPlacement,
  type FlowInstance,
  type FlowPlacement,
} from '../flow/flow-instance.ts'
import { FlowEvaluator } from './flow-evaluator.ts'
import { PlacementMoves } from './placement-moves.ts'

export interface RefineOptions {
  /** Placements to begin with; all are scored. */
  readonly candidates: readonly FlowPlacement[]
  /** What counts, more is better: as a rule a simulation, and so costly. */
  readonly score: (placement: FlowPlacement) => number
  /** Calls of `score` in all. */
  readonly evaluations: number
  readonly random: Random
  readonly shouldStop?: () => boolean
}

export interface RefinedPlacement {
  readonly placement: FlowPlacement
  readonly score: number
  readonly evaluations: number
}

/** A change that loses more of the flow than this is not worth a simulation. */
const leastFlow = 0.6
/** How far below the best a placement may score and still be walked on from, at the beginning. */
const tolerance = 0.03
const mostDraws = 2000

/**
 * Improves placements under a score that is too costly for annealing: draws changes, lets the flow sort out those that
 * cannot serve, scores the rest and walks on from what is not much worse.
 *
 * @throws ServingInstanceError if the instance or a candidate makes no sense
 */
export function refinePlacement(instance: FlowInstance, options: RefineOptions): RefinedPlacement {
  checkFlowInstance(instance)
  const { candidates, random, score } = options
  for (const candidate of candidates) checkFlowPlacement(instance, candidate)
  if (candidates.length === 0) throw new RangeError('There is no candidate to begin with.')
  const evaluator = new FlowEvaluator(instance)
  const moves = new PlacementMoves(evaluator, random)
  let evaluations = 0
  const measure = (placement: FlowPlacement): RefinedPlacement => {
    evaluations += 1
    return { placement, score: score(placement), evaluations }
  }
  const done = () => evaluations >= options.evaluations || options.shouldStop?.() === true
  let best = candidates.map(measure).reduce((a, b) => (b.score > a.score ? b : a))
  let here = best
  const first = new Int32Array(instance.devices.length)
  const end = new Int32Array(instance.devices.length)
  const tried = new Set<string>()
  for (let draws = 0; !done() && draws < mostDraws; draws += 1) {
    for (const [device, range] of here.placement.entries()) {
      first[device] = range?.first ?? 0
      end[device] = range?.end ?? 0
    }
    const flow = evaluator.flow(first, end)
    const changes = 1 + Math.floor(random.next() * 3)
    let possible = true
    for (let change = 0; change < changes && possible; change += 1) possible = moves.apply(first, end)
    const key = `${first.join()}/${end.join()}`
    if (!possible || tried.has(key) || evaluator.flow(first, end) < flow * leastFlow) continue
    draws = 0
    tried.add(key)
    const next = measure(
      Array.from(first, (start, device) =>
        end[device]! > start ? { first: start, end: end[device]! } : null,
      ),
    )
    const slack = tolerance * Math.max(0, 1 - evaluations / options.evaluations)
    if (next.score > best.score) best = next
    if (next.score >= best.score - Math.abs(best.score) * slack * random.next()) here = next
  }
  return { ...best, evaluations }
}
