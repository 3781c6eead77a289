import type { Random } from '@deos/domain'
import type { FlowPlacement } from '../flow/flow-instance.ts'
import type { FlowEvaluator } from './flow-evaluator.ts'
import { PlacementMoves } from './placement-moves.ts'

/** Temperature at the end of a walk, as a share of the best flow. */
const cold = 0.0002
/** Weight of coverage beside flow: the flow is a minimum and stays flat while layers gain one by one. */
const coverageWeight = 0.5

/** One walk of simulated annealing over placements. */
export class Annealer {
  bestFlow: number
  private score = 0
  private hot = 0
  private readonly first: Int32Array
  private readonly end: Int32Array
  private readonly bestFirst: Int32Array
  private readonly bestEnd: Int32Array
  private readonly oldFirst: Int32Array
  private readonly oldEnd: Int32Array
  private readonly moves: PlacementMoves

  constructor(
    private readonly evaluator: FlowEvaluator,
    start: FlowPlacement,
    private readonly random: Random,
    private readonly upperBound: number,
  ) {
    this.first = Int32Array.from(start, (range) => range?.first ?? 0)
    this.end = Int32Array.from(start, (range) => range?.end ?? 0)
    this.oldFirst = this.first.slice()
    this.oldEnd = this.end.slice()
    this.bestFirst = this.first.slice()
    this.bestEnd = this.end.slice()
    this.bestFlow = evaluator.flow(this.first, this.end)
    this.moves = new PlacementMoves(evaluator, random)
  }

  /**
   * Goes back to the best placement so far.
   *
   * @param hot - temperature at the beginning of the walk, as a share of the best flow
   */
  heat(hot: number): void {
    this.hot = hot
    this.first.set(this.bestFirst)
    this.end.set(this.bestEnd)
    this.score = this.scoreOf(this.bestFlow)
  }

  /** Tries `moves` changes while progress goes from one share of the schedule to another, both 0 to 1. */
  step(moves: number, from: number, to: number): void {
    const { first, end, oldFirst, oldEnd, evaluator } = this
    for (let move = 0; move < moves; move += 1) {
      const progress = from + ((to - from) * move) / moves
      const temperature =
        Math.max(this.bestFlow, this.upperBound * 0.01) * this.hot * (cold / this.hot) ** progress
      oldFirst.set(first)
      oldEnd.set(end)
      if (!this.moves.apply(first, end)) continue
      const flow = evaluator.flow(first, end)
      const score = this.scoreOf(flow)
      if (flow > this.bestFlow) {
        this.bestFlow = flow
        this.bestFirst.set(first)
        this.bestEnd.set(end)
      }
      const worse = this.score - score
      if (worse <= 0 || this.random.next() < Math.exp(-worse / temperature)) {
        this.score = score
      } else {
        first.set(oldFirst)
        end.set(oldEnd)
      }
    }
  }

  bestPlacement(): FlowPlacement {
    return Array.from(this.bestFirst, (first, device) => {
      const end = this.bestEnd[device]!
      return end > first ? { first, end } : null
    })
  }

  private scoreOf(flow: number): number {
    const most = Math.min(this.upperBound, this.bestFlow * 1.1 + this.upperBound * 0.02)
    return flow + coverageWeight * this.evaluator.coverage(this.first, this.end, most)
  }
}
