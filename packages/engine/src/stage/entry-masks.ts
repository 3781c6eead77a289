import type { GraphBuilder, Tensor } from '../ggml/graph-builder.ts'
import type { Span } from './attention-plan.ts'
import type { AttentionShape } from './attention-shape.ts'

/** Views on the masks of a batch's entries, shared by all layers. */
export class EntryMasks {
  private readonly known = new Map<string, Tensor>()

  constructor(
    private readonly builder: GraphBuilder,
    /** Of all entries, one after another. */
    private readonly mask: Tensor,
    private readonly elementBytes: number,
    private readonly shape: AttentionShape,
  ) {}

  /** Of the last `rows` of `count` queries: `[cells, rows]`. */
  of({ cellCount, maskOffset }: Span, count: number, rows: number): Tensor {
    return this.once(`${maskOffset}/${rows}`, () =>
      this.builder.view2d(
        this.mask,
        cellCount,
        rows,
        cellCount * this.elementBytes,
        (maskOffset + (count - rows) * cellCount) * this.elementBytes,
      ),
    )
  }

  /** The same with each row once for every head that shares a key with others. */
  ofHeads(span: Span, count: number, rows: number): Tensor {
    return this.once(`${span.maskOffset}/${rows}/heads`, () => {
      const group = this.shape.heads / this.shape.kvHeads
      const { cellCount } = span
      const apart = this.builder.reshape3d(this.of(span, count, rows), cellCount, 1, rows)
      const repeated = this.builder.repeat3d(apart, cellCount, group, rows)
      return this.builder.reshape2d(repeated, cellCount, group * rows)
    })
  }

  private once(key: string, make: () => Tensor): Tensor {
    const known = this.known.get(key)
    if (known) return known
    const made = make()
    this.known.set(key, made)
    return made
  }
}
