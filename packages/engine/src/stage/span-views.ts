import type { Tensor } from '../ggml/graph-builder.ts'
import { moveView } from '../ggml/tensor-struct.ts'
import type { EntryPlan } from './attention-plan.ts'

/** A view of an entry's cells in a matrix of the cache. */
export interface CellView {
  readonly tensor: Tensor
  /** Of the matrix, which stays where it is. */
  readonly address: number
  readonly cellBytes: number
}

/** What has to move when an entry's span begins elsewhere. */
export interface MovableSpan {
  readonly entry: number
  readonly reach: number
  cellStart: number
  readonly views: CellView[]
}

/** Views of a graph on cells of the cache, by the entry and the reach they are for. */
export class SpanViews {
  private readonly spans: MovableSpan[] = []

  constructor(private readonly plans: readonly EntryPlan[]) {}

  /** What moves with an entry's span of one reach, in all layers that have it. */
  of(plan: EntryPlan, reach: number): MovableSpan {
    const entry = this.plans.indexOf(plan)
    const known = this.spans.find((span) => span.entry === entry && span.reach === reach)
    if (known) return known
    const span = { entry, reach, cellStart: plan.spans[reach]!.cellStart, views: [] }
    this.spans.push(span)
    return span
  }

  /** Points all views at the cells of other sequences of the same lengths. */
  aim(plans: readonly EntryPlan[]): void {
    for (const span of this.spans) {
      const { cellStart } = plans[span.entry]!.spans[span.reach]!
      if (cellStart === span.cellStart) continue
      span.cellStart = cellStart
      for (const { tensor, address, cellBytes } of span.views) {
        moveView(tensor.pointer, address, cellStart * cellBytes)
      }
    }
  }
}
