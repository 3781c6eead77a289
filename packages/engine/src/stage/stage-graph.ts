import type { LayerRange, ModelConfig } from '@deos/domain'
import { layerCount } from '@deos/domain'
import {
  type Architecture,
  type DispatchedExperts,
  expertNodes,
  type LayerContext,
  type LayerPart,
  latentAttentionNodes,
  type MatrixBundle,
} from '../architectures/index.ts'
import type { Backend } from '../ggml/backend.ts'
import { GraphBuilder, type RopeSettings, type Tensor } from '../ggml/graph-builder.ts'
import type { GraphMemory } from '../ggml/graph-memory.ts'
import type { Pointer } from '../ggml/library.ts'
import { dataAddress, moveView } from '../ggml/tensor-struct.ts'
import type { AdapterStacks } from '../lora/adapter-stacks.ts'
import { bytesOf, floatsOf } from '../ranks/index.ts'
import { type EntryPlan, gatheredLength, type LayerReaches, maskLength, type Span } from './attention-plan.ts'
import { type AttentionShape, attentionShape, foldsHeads } from './attention-shape.ts'
import { ContextAttention, contextEntryNodes, type EntryCells } from './context-attention.ts'
import { pickRows, placeRows } from './context-rows.ts'
import { ExpertDispatch } from './expert-dispatch.ts'
import type { KvCache } from './kv-cache.ts'
import { rotationNodes } from './kv-rotation.ts'
import type { ContextShare, RankParts } from './rank-parts.ts'
import { type Cut, SegmentedGraph } from './segmented-graph.ts'
import type { WeightStore } from './weight-store.ts'

const F16_BYTES = 2
const F32_BYTES = 4
const I32_BYTES = 4
const NODES_PER_LAYER = 48
const NODES_PER_ENTRY = 7
const NODES_PER_LONG_ENTRY = 12
const NODES_PER_GATHERED_ENTRY = 8
/** Views and copies of the mask, for the last layer's rows and for the others'. */
const MASK_NODES_PER_ENTRY = 8
const NODES_AROUND = 32
const NODES_PER_ADAPTED_MODULE = 5

const nodesPerLayer = ({ experts, latentAttention }: ModelConfig): number =>
  NODES_PER_LAYER +
  rotationNodes +
  (experts === null ? 0 : expertNodes(experts)) +
  (latentAttention === null ? 0 : latentAttentionNodes)

/** What a stage with the head makes of the wanted rows: logits, or what goes into the head's matrix. */
export type HeadResult = 'logits' | 'normed'

/** What distinguishes graphs of equal plans. */
export interface GraphVariant {
  readonly result: HeadResult
  /** Whether tokens run with adapters. */
  readonly adapted: boolean
  /** Whether it halts where K and V of a layer are stored. */
  readonly halts: boolean
}

/** What all graphs of a stage share. */
export interface StageParts {
  readonly backend: Backend
  readonly architecture: Architecture
  readonly config: ModelConfig
  readonly layers: LayerRange
  readonly embedding: boolean
  readonly head: boolean
  readonly weights: WeightStore
  readonly kv: KvCache
  readonly adapters: AdapterStacks
  readonly reaches: LayerReaches
  readonly memory: GraphMemory
  /** Null where one rank computes the stage. */
  readonly rank: RankParts | null
  rope(layer: number): RopeSettings
  /** Waited for where a graph halts: K and V of this layer are stored. */
  stored(layer: number): Promise<void>
}

/** The tensors to write before a run and to read after it. */
export interface GraphTensors {
  /** Token ids (I32) or hidden states (F32, `[hiddenSize, tokens]`). */
  readonly input: Tensor
  readonly positions: Tensor
  /** KV cells of the tokens, I64. */
  readonly cells: Tensor
  /** Cells that are copied side by side before attention reads them, I32; null where it reads the cache itself. */
  readonly gathered: Tensor | null
  /** Null where nothing attends: the last layer of a prompt chunk without a wanted row, alone in its stage. */
  readonly mask: Tensor | null
  /** Rows that need logits, I32; null where the graph keeps every row or none. */
  readonly outputRows: Tensor | null
  /** Slot of each token's adapter, I32 `[1, tokens]`; null where nothing is adapted. */
  readonly adapterSlots: Tensor | null
  /** The same for the rows that need logits, where others are dropped. */
  readonly keptAdapterSlots: Tensor | null
  /**
   * Hidden states `[hiddenSize, tokens]`, logits `[vocabSize, outputs]`, normed hidden states `[hiddenSize, outputs]`, or
   * null when nothing is wanted.
   */
  readonly output: Tensor | null
}

/** A view of an entry's cells in a matrix of the cache. */
interface CellView {
  readonly tensor: Tensor
  /** Of the matrix, which stays where it is. */
  readonly address: number
  readonly cellBytes: number
}

/** What has to move when an entry's span begins elsewhere. */
interface MovableSpan {
  readonly entry: number
  readonly reach: number
  cellStart: number
  readonly views: CellView[]
}

/** One compiled batch shape: built once, run for every step of that shape. */
export class StageGraph {
  readonly tensors: GraphTensors
  private readonly spans: readonly MovableSpan[]
  readonly sizeBytes: number
  private readonly context: Pointer
  private readonly graph: Pointer
  private readonly segments: SegmentedGraph
  private readonly generation: number

  constructor(
    private readonly parts: StageParts,
    plans: readonly EntryPlan[],
    variant: GraphVariant,
  ) {
    const { ggml } = parts.backend
    const perGathered = gatheredLength(plans) > 0 ? NODES_PER_GATHERED_ENTRY : 0
    const entryNodes = plans.reduce(
      (sum, { count }) =>
        sum +
        perGathered +
        (parts.rank?.context ? contextEntryNodes : 0) +
        (count === 1 ? NODES_PER_ENTRY : NODES_PER_LONG_ENTRY),
      0,
    )
    const maxNodes =
      NODES_AROUND +
      MASK_NODES_PER_ENTRY * plans.length +
      NODES_PER_ADAPTED_MODULE * (variant.adapted ? parts.adapters.moduleCount : 0) +
      layerCount(parts.layers) * (nodesPerLayer(parts.config) + entryNodes)
    this.context = ggml.init({
      mem_size: maxNodes * ggml.tensorOverhead() + ggml.graphOverheadCustom(maxNodes, false),
      mem_buffer: null,
      no_alloc: true,
    })
    const builder = new GraphBuilder(ggml, this.context, maxNodes)
    const stage = new StageGraphBuilder(parts, builder, plans, variant)
    this.tensors = stage.build()
    this.spans = stage.spans
    this.graph = builder.graph
    const { memory } = parts
    if (!memory.lay(this.graph)) {
      ggml.free(this.context)
      throw new RangeError(`No memory for a step of ${plans.length} entries on ${parts.backend.device.name}.`)
    }
    this.generation = memory.generation
    this.segments = new SegmentedGraph(parts.backend, this.graph, stage.cuts)
    this.sizeBytes = ggml.usedMem(this.context)
  }

  /** Whether its memory is still there. */
  get isValid(): boolean {
    return this.generation === this.parts.memory.generation
  }

  write(tensor: Tensor, data: ArrayBufferView): void {
    this.parts.backend.ggml.tensorSet(tensor.pointer, data, 0, data.byteLength)
  }

  read(tensor: Tensor, into: ArrayBufferView): void {
    this.parts.backend.ggml.tensorGet(tensor.pointer, into, 0, into.byteLength)
  }

  /**
   * Points attention at the cells of other sequences: a batch of the same shape need not build a graph of its own
   * because its sequences lie elsewhere.
   */
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

  run(): Promise<void> {
    return this.segments.run()
  }

  close(): void {
    this.segments.close()
    this.parts.backend.ggml.free(this.context)
  }
}

class StageGraphBuilder {
  readonly spans: MovableSpan[] = []
  readonly cuts: Cut[] = []
  /** Rows that are computed here: all of the batch, unless ranks divide its positions. */
  private readonly tokenCount: number
  private readonly totalCount: number
  private readonly context: ContextShare | null
  private across: ContextAttention | null = null
  private readonly outputCount: number
  private readonly positions: Tensor
  private readonly cells: Tensor
  private readonly mask: Tensor
  private readonly outputRows: Tensor | null
  private readonly gathered: Tensor | null
  /** Attention results of all entries meet here; one for the whole graph, layers run one after another. */
  private attended: Tensor | null = null
  private readonly masks = new Map<string, Tensor>()
  private adapterSlots: Tensor | null = null
  private keptAdapterSlots: Tensor | null = null
  private readonly shape: AttentionShape

  constructor(
    private readonly parts: StageParts,
    private readonly builder: GraphBuilder,
    private readonly plans: readonly EntryPlan[],
    private readonly variant: GraphVariant,
  ) {
    this.totalCount = plans.reduce((sum, plan) => sum + plan.count, 0)
    this.context = parts.rank?.context ?? null
    this.tokenCount = this.context?.rows.computed.length ?? this.totalCount
    this.outputCount = plans.reduce((sum, plan) => sum + plan.outputCount, 0)
    this.shape = attentionShape(parts.config)
    this.positions = builder.input('I32', this.tokenCount)
    this.cells = builder.input('I64', this.tokenCount)
    this.mask = builder.input(this.context ? 'F32' : 'F16', maskLength(plans))
    this.outputRows = this.dropsRows ? builder.input('I32', this.outputCount) : null
    const gathered = gatheredLength(plans)
    this.gathered = gathered > 0 ? builder.input('I32', gathered) : null
  }

  build(): GraphTensors {
    const { parts, builder } = this
    const input = parts.embedding
      ? builder.input('I32', this.tokenCount)
      : builder.input('F32', parts.config.hiddenSize, this.tokenCount)
    let x = parts.embedding ? this.embed(input) : input
    let output: Tensor | null = null
    for (let layer = parts.layers.first; layer < parts.layers.end; layer += 1) {
      x = parts.architecture.layer(this.layerContext(layer), x)
      if (this.stopsAfterKv(layer)) break
      if (layer === parts.layers.end - 1) output = this.result(x)
    }
    if (output) builder.output(output)
    return {
      input,
      positions: this.positions,
      cells: this.cells,
      gathered: this.attended ? this.gathered : null,
      mask: this.attended || this.across ? this.mask : null,
      outputRows: this.outputRows,
      adapterSlots: this.adapterSlots,
      keptAdapterSlots: this.keptAdapterSlots,
      output,
    }
  }

  /** What the stage gives, of what its last layer gives: null on ranks that only help, which are through then. */
  private result(x: Tensor): Tensor | null {
    const { rank, head } = this.parts
    const rows = this.context && rank ? this.gatherRows(this.context, rank, x) : x
    if (rank?.isFirst === false) return null
    return head ? this.headResult(rows) : rows
  }

  /** On rank 0 the rows that are wanted, those of all ranks: `[hiddenSize, rows]`. */
  private gatherRows(context: ContextShare, rank: RankParts, x: Tensor): Tensor {
    const { builder, parts } = this
    const { hiddenSize } = parts.config
    const { ggml } = parts.backend
    if (!rank.givesRows) return x
    builder.expand(x)
    const gathered = builder.input('F32', hiddenSize, parts.head ? this.outputCount : this.totalCount)
    if (rank.isFirst) builder.expand(gathered)
    const own = new Float32Array(hiddenSize * this.tokenCount)
    this.cut(async () => {
      const { rows, index } = context
      ggml.tensorGet(x.pointer, own, 0, own.byteLength)
      const given = await context.exchange(bytesOf(own.slice(0, rows.byRank[index]!.length * hiddenSize)))
      if (!rank.isFirst) return
      const placed = given.map((data, other) => floatsOf(data, rows.byRank[other]!.length * hiddenSize))
      const all = placeRows(rows, placed, hiddenSize)
      const wanted = parts.head ? pickRows(all, rows.outputs, hiddenSize) : all
      ggml.tensorSet(gathered.pointer, wanted, 0, wanted.byteLength)
    })
    return gathered
  }

  private embed(tokens: Tensor): Tensor {
    const { embeddingScale } = this.parts.config
    const embedded = this.builder.rows(this.stageWeight('token_embd.weight'), tokens)
    return embeddingScale === 1 ? embedded : this.builder.scale(embedded, embeddingScale)
  }

  /** Prompt chunks without a wanted row need the last layer only for its K and V. */
  private stopsAfterKv(layer: number): boolean {
    return this.isLast(layer) && this.outputCount === 0
  }

  private isLast(layer: number): boolean {
    return this.parts.head && layer === this.parts.layers.end - 1
  }

  private get dropsRows(): boolean {
    const dropsSome = this.outputCount > 0 && this.outputCount < this.tokenCount
    return this.parts.head && this.context === null && dropsSome
  }

  private headResult(x: Tensor): Tensor {
    const { builder, parts } = this
    const { logitSoftcap } = parts.config
    const normed = builder.rmsNorm(x, this.stageWeight('output_norm.weight'), parts.config.normEpsilon)
    if (this.variant.result === 'normed') return normed
    const logits = builder.matmul(this.stageWeight('output.weight'), normed)
    return logitSoftcap === 0 ? logits : builder.softcap(logits, logitSoftcap)
  }

  private stageWeight(name: string): Tensor {
    const weight = this.parts.weights.get(name)
    if (!weight) throw new Error(`Stage ${JSON.stringify(this.parts.layers)} holds no weight ${name}.`)
    return weight
  }

  /** Rows behind a layer's attention. */
  private keptCount(layer: number): number {
    return this.isLast(layer) && this.outputRows ? this.outputCount : this.tokenCount
  }

  private layerContext(layer: number): LayerContext {
    const { parts, builder } = this
    const { rank } = parts
    const find = (name: string) => parts.weights.get(`blk.${layer}.${name}`)
    let isAttended = false
    return {
      builder,
      config: parts.config,
      layer,
      tokenCount: this.tokenCount,
      keptCount: this.keptCount(layer),
      positions: this.positions,
      weight: (name) => this.stageWeight(`blk.${layer}.${name}`),
      optionalWeight: find,
      bundle: (matrix) => this.bundle(`blk.${layer}`, matrix),
      adapt: (name, x, product) =>
        this.adapt(`blk.${layer}.${name}`, x, product, isAttended && this.isLast(layer)),
      rope: (x) => builder.rope(x, this.positions, parts.rope(layer)),
      attend: (q, k, v, sinks = null) => {
        isAttended = true
        if (this.context) return this.attendAcross(layer, this.context, q, k, v, sinks)
        return this.attend(layer, q, k, v, sinks)
      },
      reduce: (part, partial) => this.reduce(layer, part, partial),
      dispatch: rank?.experts ? (experts) => this.dispatch(layer, rank, experts) : null,
      keepOutputs: (x) => (this.isLast(layer) && this.outputRows ? builder.rows(x, this.outputRows) : x),
    }
  }

  private reduce(layer: number, part: LayerPart, partial: Tensor): Tensor {
    const { rank, backend } = this.parts
    if (!rank?.shares(part) || this.stopsAfterKv(layer)) return partial
    this.builder.expand(partial)
    const { ggml } = backend
    const values = new Float32Array(ggml.elementCount(partial.pointer))
    this.cut(async () => {
      ggml.tensorGet(partial.pointer, values, 0, values.byteLength)
      await rank.sum(part, values)
      ggml.tensorSet(partial.pointer, values, 0, values.byteLength)
    })
    return partial
  }

  private dispatch(layer: number, rank: RankParts, experts: DispatchedExperts): Tensor {
    if (this.stopsAfterKv(layer)) return experts.x
    const { backend, config } = this.parts
    const { hiddenSize } = config
    const rows = this.keptCount(layer)
    const sizes = { hiddenSize, used: config.experts!.used, rows }
    const dispatch = new ExpertDispatch({ backend, rank, ...sizes }, this.builder, experts)
    this.cut(() => dispatch.take())
    dispatch.build()
    this.cut(
      () => dispatch.combine(),
      () => dispatch.count > 0,
    )
    return dispatch.result
  }

  /** What comes next is computed when `act` is through. */
  private cut(act: () => Promise<void>, runs?: () => boolean): void {
    const { ggml } = this.parts.backend
    this.cuts.push({ node: ggml.graphNodeCount(this.builder.graph), act, ...(runs && { runs }) })
  }

  private bundle(layer: string, matrix: string): MatrixBundle | null {
    const bundle = this.parts.weights.bundle(layer, matrix)
    const { adapters } = this.parts
    const isAdapted = bundle?.parts.some((part) => adapters.module(`${layer}.${part.matrix}`) !== null)
    return this.variant.adapted && isAdapted ? null : bundle
  }

  /** @param isKept - whether `x` has only the rows that need logits */
  private adapt(name: string, x: Tensor, product: Tensor, isKept: boolean): Tensor {
    const stack = this.variant.adapted ? this.parts.adapters.module(name) : null
    if (!stack) return product
    const { builder } = this
    const dropped = isKept && this.outputRows !== null
    const rows = dropped ? this.outputCount : this.tokenCount
    if (dropped) this.keptAdapterSlots ??= this.slotsInput(rows)
    else this.adapterSlots ??= this.slotsInput(rows)
    const slots = (dropped ? this.keptAdapterSlots : this.adapterSlots)!
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

  private attend(layer: number, q: Tensor, k: Tensor, v: Tensor | null, sinks: Tensor | null): Tensor {
    const { heads, keyDim, valueDim } = this.shape
    const { rotation } = this.parts.kv
    this.store(layer, k, v)
    const width = heads * valueDim
    const rowsOf = (plan: EntryPlan) => (this.isLast(layer) ? plan.outputCount : plan.count)
    const rows = this.plans.reduce((sum, plan) => sum + rowsOf(plan), 0)
    // Nothing later is computed then; the shape is all that counts.
    if (rows === 0) return this.builder.f32Rows(q, width, 0, this.tokenCount)
    this.attended ??= this.builder.empty('F32', width, this.tokenCount)
    const queries = rotation.turnKeys(this.builder, q, heads * keyDim, this.tokenCount)
    let row = 0
    for (const plan of this.plans) {
      if (rowsOf(plan) > 0) this.attendEntry(layer, queries, sinks, plan, rowsOf(plan), row)
      row += rowsOf(plan)
    }
    const attended = this.builder.f32Rows(this.attended, width, 0, rows)
    return rotation.turnValues(this.builder, attended, width, rows)
  }

  /** {@link attend} where positions are stored by several ranks. */
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
    if (this.stopsAfterKv(layer)) return builder.f32Rows(q, width, 0, this.tokenCount)
    const own = { backend: parts.backend, context, shape, attentionScale, attentionSoftcap }
    this.across ??= new ContextAttention(own, builder, this.tokenCount, this.totalCount)
    const { across } = this
    across.take(rotation.turnKeys(builder, q, heads * keyDim, this.tokenCount))
    this.cut(() => across.shareQueries())
    for (const plan of plans) across.attend(this.entryCells(layer, plan))
    this.cut(() => across.merge(plans, sinks))
    return rotation.turnValues(builder, across.merged, width, this.tokenCount)
  }

  private entryCells(layer: number, plan: EntryPlan): EntryCells {
    const { firstRow, count } = plan
    const { kv, layers, reaches } = this.parts
    const { keyDim, valueDim } = this.shape
    const reach = reaches.indexOf(layer)
    const span = plan.spans[reach]!
    const { k, v } = kv.layer(layer - layers.first)
    const moved = this.movable(plan, reach)
    const valueBytes = v ? kv.cellBytes.v : kv.cellBytes.k
    const values = this.byDim(this.cellsOf(v ?? k, span, valueDim, valueBytes, moved), moved)
    return {
      ...{ firstRow, count, cellCount: span.cellCount },
      keys: this.cellsOf(k, span, keyDim, kv.cellBytes.k, moved),
      values,
      mask: this.maskOf(span, count, count),
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
    const { builder, tokenCount } = this
    const write = (matrix: Tensor, rows: Tensor) =>
      builder.expand(builder.scatterRows(matrix, rows, this.cells))
    const { rotation } = this.parts.kv
    const keys = rotation.turnKeys(builder, k, kvHeads * keyDim, tokenCount)
    write(cache.k, builder.reshape2d(builder.contiguous(keys), kvHeads * keyDim, tokenCount))
    if (cache.v && v) write(cache.v, rotation.turnValues(builder, v, kvHeads * valueDim, tokenCount))
    if (this.variant.halts) this.cut(() => this.parts.stored(layer))
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
    const moved = span.gathered ? null : this.movable(plan, reach)
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
      const mask = this.maskOfHeads(span, plan.count, rows)
      const extents = [valueDim, heads, kvHeads, rows] as const
      builder.foldedAttentionInto(this.attended!, into, { ...operands, q: folded, mask }, extents)
    } else {
      const queries = builder.swapOuter(builder.reshape3d(own, keyDim, heads, rows))
      const mask = this.maskOf(span, plan.count, rows)
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

  /** What moves with an entry's span of one reach, in all layers that have it. */
  private movable(plan: EntryPlan, reach: number): MovableSpan {
    const entry = this.plans.indexOf(plan)
    const known = this.spans.find((span) => span.entry === entry && span.reach === reach)
    if (known) return known
    const span = { entry, reach, cellStart: plan.spans[reach]!.cellStart, views: [] }
    this.spans.push(span)
    return span
  }

  /** {@link maskOf} with each row once for every head that shares a key with others. */
  private maskOfHeads(span: Span, count: number, rows: number): Tensor {
    const key = `${span.maskOffset}/${rows}/heads`
    const known = this.masks.get(key)
    if (known) return known
    const group = this.shape.heads / this.shape.kvHeads
    const { cellCount } = span
    const apart = this.builder.reshape3d(this.maskOf(span, count, rows), cellCount, 1, rows)
    const repeated = this.builder.repeat3d(apart, cellCount, group, rows)
    const mask = this.builder.reshape2d(repeated, cellCount, group * rows)
    this.masks.set(key, mask)
    return mask
  }

  /** The mask of the last `rows` of `count` queries; layers share it. */
  private maskOf(span: Span, count: number, rows: number): Tensor {
    const { cellCount, maskOffset } = span
    const elementBytes = this.context ? F32_BYTES : F16_BYTES
    const key = `${maskOffset}/${rows}`
    const known = this.masks.get(key)
    if (known) return known
    const mask = this.builder.view2d(
      this.mask,
      cellCount,
      rows,
      cellCount * elementBytes,
      (maskOffset + (count - rows) * cellCount) * elementBytes,
    )
    this.masks.set(key, mask)
    return mask
  }
}
