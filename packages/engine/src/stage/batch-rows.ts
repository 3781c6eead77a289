import type { LayerRange } from '@deos/domain'
import type { EntryPlan } from './attention-plan.ts'
import type { ContextShare } from './rank-parts.ts'

interface StageEnd {
  readonly layers: LayerRange
  readonly head: boolean
}

/** Which rows of a batch are computed by the layers of a stage. */
export class BatchRows {
  readonly total: number
  /** Here: all, unless ranks divide the batch's positions. */
  readonly computed: number
  /** Those whose logits are wanted. */
  readonly wanted: number
  /** Whether the last layer goes on with the wanted rows only. */
  readonly areDropped: boolean

  constructor(
    private readonly stage: StageEnd,
    plans: readonly EntryPlan[],
    context: ContextShare | null,
  ) {
    this.total = plans.reduce((sum, plan) => sum + plan.count, 0)
    this.computed = context?.rows.computed.length ?? this.total
    this.wanted = plans.reduce((sum, plan) => sum + plan.outputCount, 0)
    const dropsSome = this.wanted > 0 && this.wanted < this.computed
    this.areDropped = stage.head && context === null && dropsSome
  }

  /** Whether a layer is the model's last. */
  isLast(layer: number): boolean {
    return this.stage.head && layer === this.stage.layers.end - 1
  }

  /** Prompt chunks without a wanted row need the last layer only for its K and V. */
  stopsAfterKv(layer: number): boolean {
    return this.isLast(layer) && this.wanted === 0
  }

  /** Rows behind a layer's attention. */
  kept(layer: number): number {
    return this.isLast(layer) && this.areDropped ? this.wanted : this.computed
  }
}
