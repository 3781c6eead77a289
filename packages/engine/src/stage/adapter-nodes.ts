import type { GraphBuilder, Tensor } from '../ggml/graph-builder.ts'
import type { AdapterStacks } from '../lora/adapter-stacks.ts'
import type { BatchRows } from './batch-rows.ts'

/** What adapters add to products of weights, each token by its own. */
export class AdapterNodes {
  /** Slot of each token's adapter, I32 `[1, tokens]`; null where nothing is adapted. */
  slots: Tensor | null = null
  /** The same for the rows that need logits, where others are dropped. */
  keptSlots: Tensor | null = null

  constructor(
    private readonly stacks: AdapterStacks,
    private readonly builder: GraphBuilder,
    private readonly rows: BatchRows,
  ) {}

  /** @param isKept - whether `x` has only the rows that need logits, of which others were dropped */
  adapt(name: string, x: Tensor, product: Tensor, isKept: boolean): Tensor {
    const stack = this.stacks.module(name)
    if (!stack) return product
    const { builder } = this
    const rows = isKept ? this.rows.wanted : this.rows.computed
    if (isKept) this.keptSlots ??= this.slotsInput(rows)
    else this.slots ??= this.slotsInput(rows)
    const slots = (isKept ? this.keptSlots : this.slots)!
    const narrow = builder.expertMatmul(stack.a, builder.reshape3d(x, stack.columns, 1, rows), slots)
    const wide = builder.expertMatmul(stack.b, narrow, slots)
    return builder.add(product, builder.reshape2d(wide, stack.rows, rows))
  }

  /** Part of the graph at once: what reads it may turn out not to be. */
  private slotsInput(rows: number): Tensor {
    const slots = this.builder.input('I32', 1, rows)
    this.builder.expand(slots)
    return slots
  }
}
