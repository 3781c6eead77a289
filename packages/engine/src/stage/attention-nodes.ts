import type { GraphBuilder, Tensor } from '../ggml/graph-builder.ts'
import { dataAddress } from '../ggml/tensor-struct.ts'
import { type EntryPlan, gatheredLength, maskLength, type Span } from './attention-plan.ts'
import { type AttentionShape, attentionShape, foldsHeads } from './attention-shape.ts'
import type { BatchRows } from './batch-rows.ts'
import { ContextAttention, type EntryCells } from './context-attention.ts'
import { EntryMasks } from './entry-masks.ts'
import type { StageParts } from './graph-parts.ts'
import type { ContextShare } from './rank-parts.ts'
import type { CutList } from './segmented-graph.ts'
import { type MovableSpan, SpanViews } from './span-views.ts'

const F16_BYTES = 2
const F32_BYTES = 4
const I32_BYTES = 4

/** The attention of a batch in all layers of a graph: storing keys and values, and what each entry's queries look at. */
export class AttentionNodes {
  readonly views: SpanViews
  /** KV cells of the tokens, I64. */
  readonly cells: Tensor
  private readonly mask: Tensor
  private readonly gathered: Tensor | null
  private readonly context: ContextShare | null
  private readonly shape: AttentionShape
  private readonly masks: EntryMasks
  /** Attention results of all entries meet here; one for the whole graph, layers run one after another. */
  private attended: Tensor | null = null
  private across: ContextAttention | null = null

  constructor(
    private readonly parts: StageParts,
    private readonly builder: GraphBuilder,
    private readonly plans: readonly EntryPlan[],
    private readonly rows: BatchRows,
    private readonly cuts: CutList,
    /** Whether the graph halts where K and V of a layer are stored. */
    private readonly halts: boolean,
  ) {
    this.context = parts.rank?.context ?? null
    this.shape = attentionShape(parts.config)
    this.views = new SpanViews(plans)
    this.cells = builder.input('I64', rows.computed)
    this.mask = builder.input(this.context ? 'F32' : 'F16', maskLength(plans))
    const gathered = gatheredLength(plans)
    this.gathered = gathered > 0 ? builder.input('I32', gathered) : null
    this.masks = new EntryMasks(builder, this.mask, this.context ? F32_BYTES : F16_BYTES, this.shape)
  }

  /** What attention reads besides cells; null where nothing attends, or nothing is gathered. */
  get inputs(): { readonly gathered: Tensor | null; readonly mask: Tensor | null } {
    return {
      gathered: this.attended ? this.gathered : null,
      mask: this.attended || this.across ? this.mask : null,
    }
  }

  /**
   * Stores K and V of the batch and attends with its queries.
   *
   * @param q - `[keyDim * heads, rows]`; the result has `valueDim * heads` columns and the rows that the layer keeps
   */
  attend(layer: number, q: Tensor, k: Tensor, v: Tensor | null, sinks: Tensor | null): Tensor {
    return this.context
      ? this.attendAcross(layer, this.context, q, k, v, sinks)
      : this.attendHere(layer, q, k, v, sinks)
  }

  private attendHere(layer: number, q: Tensor, k: Tensor, v: Tensor | null, sinks: Tensor | null): Tensor {
    const { heads, keyDim, valueDim } = this.shape
    const { rotation } = this.parts.kv
    this.store(layer, k, v)
    const width = heads * valueDim
    const rowsOf = (plan: EntryPlan) => (this.rows.isLast(layer) ? plan.outputCount : plan.count)
    const rows = this.plans.reduce((sum, plan) => sum + rowsOf(plan), 0)
    // Nothing later is computed then; the shape is all that counts.
    if (rows === 0) return this.builder.f32Rows(q, width, 0, this.rows.computed)
    this.attended ??= this.builder.empty('F32', width, this.rows.computed)
    const queries = rotation.turnKeys(this.builder, q, heads * keyDim, this.rows.computed)
    let row = 0
    for (const plan of this.plans) {
      if (rowsOf(plan) > 0) this.attendEntry(layer, queries, sinks, plan, rowsOf(plan), row)
      row += rowsOf(plan)
    }
    const attended = this.builder.f32Rows(this.attended, width, 0, rows)
    return rotation.turnValues(this.builder, attended, width, rows)
  }

  /** {@link attendHere} where positions are stored by several ranks. */
  private attendAcross(
    layer: number,
    context: ContextShare,
    q: Tensor,
    k: Tensor,
    v: Tensor | null,
    sinks: Tensor | null,
  ): Tensor {
    const { builder, shape, parts, plans } = this
    const { heads, keyDim, valueDim } = shape
    const { attentionScale, attentionSoftcap } = parts.config
    const { rotation } = parts.kv
    this.store(layer, k, v)
    const width = heads * valueDim
    if (this.rows.stopsAfterKv(layer)) return builder.f32Rows(q, width, 0, this.rows.computed)
    const own = { backend: parts.backend, context, shape, attentionScale, attentionSoftcap }
    this.across ??= new ContextAttention(own, builder, this.rows.computed, this.rows.total)
    const { across } = this
    across.take(rotation.turnKeys(builder, q, heads * keyDim, this.rows.computed))
    this.cuts.add(() => across.shareQueries())
    for (const plan of plans) across.attend(this.entryCells(layer, plan))
    this.cuts.add(() => across.merge(plans, sinks))
    return rotation.turnValues(builder, across.merged, width, this.rows.computed)
  }

  private entryCells(layer: number, plan: EntryPlan): EntryCells {
    const { firstRow, count } = plan
    const { kv, layers, reaches } = this.parts
    const { keyDim, valueDim } = this.shape
    const reach = reaches.indexOf(layer)
    const span = plan.spans[reach]!
    const { k, v } = kv.layer(layer - layers.first)
    const moved = this.views.of(plan, reach)
    const valueBytes = v ? kv.cellBytes.v : kv.cellBytes.k
    const values = this.byDim(this.cellsOf(v ?? k, span, valueDim, valueBytes, moved), moved)
    return {
      ...{ firstRow, count, cellCount: span.cellCount },
      keys: this.cellsOf(k, span, keyDim, kv.cellBytes.k, moved),
      values,
      mask: this.masks.of(span, count, count),
    }
  }

  /** The view made last as `[cells, dim, kvHeads]`: a view of its own, which moves with them. */
  private byDim(values: Tensor, moved: MovableSpan): Tensor {
    const view = this.builder.swapInner(values)
    moved.views.push({ ...moved.views.at(-1)!, tensor: view })
    return view
  }

  /** Writes K and V of the batch into their cells; expanded at once so that attention comes after it. */
  private store(layer: number, k: Tensor, v: Tensor | null): void {
    const { kvHeads, keyDim, valueDim } = this.shape
    const cache = this.parts.kv.layer(layer - this.parts.layers.first)
    const { builder } = this
    const tokenCount = this.rows.computed
    const write = (matrix: Tensor, rows: Tensor) =>
      builder.expand(builder.scatterRows(matrix, rows, this.cells))
    const { rotation } = this.parts.kv
    const keys = rotation.turnKeys(builder, k, kvHeads * keyDim, tokenCount)
    write(cache.k, builder.reshape2d(builder.contiguous(keys), kvHeads * keyDim, tokenCount))
    if (cache.v && v) write(cache.v, rotation.turnValues(builder, v, kvHeads * valueDim, tokenCount))
    if (this.halts) this.cuts.add(() => this.parts.stored(layer))
  }

  /** Attention of the entry's last `rows` queries, into the gathered result from `into` on. */
  private attendEntry(
    layer: number,
    q: Tensor,
    sinks: Tensor | null,
    plan: EntryPlan,
    rows: number,
    into: number,
  ): void {
    const { heads, kvHeads, keyDim, valueDim } = this.shape
    const { builder } = this
    const reach = this.parts.reaches.indexOf(layer)
    const span = plan.spans[reach]!
    const { k, v } = this.parts.kv.layer(layer - this.parts.layers.first)
    const { cellBytes } = this.parts.kv
    const moved = span.gathered ? null : this.views.of(plan, reach)
    const keys = this.rowsOf(k, span, kvHeads * keyDim)
    const values = v ? this.rowsOf(v, span, kvHeads * valueDim) : keys
    const own = builder.f32Rows(q, heads * keyDim, plan.firstRow + plan.count - rows, rows)
    const operands = {
      k: this.cellsOf(keys, span, keyDim, cellBytes.k, moved),
      v: this.cellsOf(values, span, valueDim, v ? cellBytes.v : cellBytes.k, moved),
      sinks,
      scale: this.parts.config.attentionScale,
      softcap: this.parts.config.attentionSoftcap,
      width: heads * valueDim,
    }
    if (this.folds(span, rows, sinks)) {
      const folded = builder.foldHeads(own, keyDim, heads, kvHeads, rows)
      const mask = this.masks.ofHeads(span, plan.count, rows)
      const extents = [valueDim, heads, kvHeads, rows] as const
      builder.foldedAttentionInto(this.attended!, into, { ...operands, q: folded, mask }, extents)
    } else {
      const queries = builder.swapOuter(builder.reshape3d(own, keyDim, heads, rows))
      const mask = this.masks.of(span, plan.count, rows)
      builder.attentionInto(this.attended!, into, { ...operands, q: queries, mask })
    }
  }

  /** A head has its own sink; other devices fold heads themselves, if there is a key for each few. */
  private folds({ cellCount }: Span, rows: number, sinks: Tensor | null): boolean {
    const { kv, backend } = this.parts
    if (sinks !== null || !(backend.isHost || this.shape.kvHeads === 1)) return false
    return foldsHeads(this.shape, rows, cellCount, kv.options.type)
  }

  /** The cells themselves, or a copy of those of a scattered sequence. */
  private rowsOf(matrix: Tensor, { gathered, cellCount }: Span, columns: number): Tensor {
    if (!gathered) return matrix
    const { options, pages } = this.parts.kv
    const bytes = gathered.listOffset * I32_BYTES
    const list = this.builder.view2d(this.gathered!, cellCount, 1, cellCount * I32_BYTES, bytes)
    return this.builder.storedRows(matrix, options.type, columns, pages.cells, list, cellCount)
  }

  /** What queries look at: the first `dim` columns of each KV head, `[dim, cells, kvHeads]`. */
  private cellsOf(
    rows: Tensor,
    span: Span,
    dim: number,
    cellBytes: number,
    moved: MovableSpan | null,
  ): Tensor {
    const tensor = this.builder.view3d(
      rows,
      [dim, span.cellCount, this.shape.kvHeads],
      [cellBytes, cellBytes / this.shape.kvHeads],
      span.cellStart * cellBytes,
    )
    moved?.views.push({ tensor, address: dataAddress(rows.pointer), cellBytes })
    return tensor
  }
}
